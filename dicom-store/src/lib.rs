//! dicom-store
