//! dicom-net
