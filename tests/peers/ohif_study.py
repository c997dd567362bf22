"""What OHIF is shown: ohif_study.py FOLDER

Writes two studies of Vietnamese patients: a CT of 24 slices with a segmentation of two segments over it, an ultrasound
cine loop in colour, and an ECG of twelve leads. Prints their Study Instance UIDs as one JSON object.
"""

import json
import math
import pathlib
import sys

import numpy
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CT_STUDY, OTHER_STUDY = "2.25.8100", "2.25.8200"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
US_CLASS = "1.2.840.10008.5.1.4.1.1.3.1"
ECG_CLASS = "1.2.840.10008.5.1.4.1.1.9.1.1"
SLICES, EDGE = 24, 128


def write(folder, ds):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    ds.save_as(folder / f"{ds.SOPInstanceUID}.dcm", enforce_file_format=True)


def base(study, series, number, sop_class, modality, name, patient):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, f"{study}.{series}.{number}"
    ds.StudyDate, ds.StudyTime, ds.SeriesDate, ds.SeriesTime = "20260301", "101112", "20260301", "101500"
    ds.ContentDate, ds.ContentTime, ds.AccessionNumber, ds.Modality = "20260301", "101600", f"ACC{study[-4:]}", modality
    ds.Manufacturer, ds.ReferringPhysicianName, ds.StudyDescription = "ACME", "", "CT NGỰC" if study == CT_STUDY else "SIÊU ÂM TIM"
    ds.SeriesDescription, ds.PatientName, ds.PatientID = f"{modality} {series}", name, patient
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID = "19701231", "M", "1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.{series}"
    ds.SeriesNumber, ds.InstanceNumber = series, number
    return ds


def code(value, scheme, meaning):
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def body(number):
    """A slice of a round body with a darker lung and a lesion, in stored values; and where the lesion and the lung are."""
    y, x = numpy.mgrid[:EDGE, :EDGE] - EDGE / 2
    z = (number - SLICES / 2) * 3
    pixels = numpy.full((EDGE, EDGE), 24, numpy.uint16)
    pixels[x**2 + y**2 < 55**2] = 1064
    lung = (x + 22) ** 2 + y**2 < 18**2
    pixels[lung] = 324
    lesion = (x - 20) ** 2 + y**2 + z**2 < 12**2
    pixels[lesion] = 1364
    return pixels, lesion, lung


def ct(folder):
    for number in range(1, SLICES + 1):
        ds = base(CT_STUDY, 1, number, CT_CLASS, "CT", "NGUYỄN^VĂN ĐỨC", "BN-8100")
        ds.FrameOfReferenceUID = f"{CT_STUDY}.99"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [-64, -64, number * 3], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness, ds.BodyPartExamined = [1, 1], 3, "CHEST"
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", EDGE, EDGE
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.RescaleIntercept, ds.RescaleSlope, ds.WindowCenter, ds.WindowWidth = -1024, 1, 40, 1600
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PixelData = body(number)[0].tobytes()
        write(folder, ds)


def seg(folder):
    ds = base(CT_STUDY, 2, 1, SEG_CLASS, "SEG", "NGUYỄN^VĂN ĐỨC", "BN-8100")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{CT_STUDY}.99", ""
    ds.ImageType, ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = ["DERIVED", "PRIMARY"], "SEG", "", ""
    ds.SoftwareVersions, ds.DeviceSerialNumber, ds.ManufacturerModelName = "1", "1", "Test"
    ds.SegmentationType, ds.LossyImageCompression = "BINARY", "00"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", EDGE, EDGE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    ds.SegmentSequence = Sequence([
        item(SegmentNumber=number, SegmentLabel=label, SegmentAlgorithmType="MANUAL", SegmentAlgorithmName="",
             SegmentedPropertyCategoryCodeSequence=Sequence([code("49755003", "SCT", "Morphologically Abnormal Structure")]),
             SegmentedPropertyTypeCodeSequence=Sequence([code("4147007", "SCT", "Mass")]))
        for number, label in ((1, "Nốt phổi"), (2, "Phổi phải"))
    ])
    ds.DimensionOrganizationSequence = Sequence([item(DimensionOrganizationUID=f"{CT_STUDY}.98")])
    ds.DimensionIndexSequence = Sequence([
        item(DimensionOrganizationUID=f"{CT_STUDY}.98", DimensionIndexPointer=0x0062000B, FunctionalGroupPointer=0x0062000A),
        item(DimensionOrganizationUID=f"{CT_STUDY}.98", DimensionIndexPointer=0x00200032, FunctionalGroupPointer=0x00209113),
    ])
    references = [item(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=f"{CT_STUDY}.1.{n}") for n in range(1, SLICES + 1)]
    ds.ReferencedSeriesSequence = Sequence([item(SeriesInstanceUID=f"{CT_STUDY}.1", ReferencedInstanceSequence=Sequence(references))])
    ds.SharedFunctionalGroupsSequence = Sequence([item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[1, 1], SliceThickness=3, SpacingBetweenSlices=3)]),
    )])
    frames, groups = [], []
    for segment in (1, 2):
        for number in range(1, SLICES + 1):
            mask = body(number)[segment]
            if not mask.any():
                continue
            frames.append(mask)
            source = item(ReferencedSOPClassUID=CT_CLASS, ReferencedSOPInstanceUID=f"{CT_STUDY}.1.{number}",
                          PurposeOfReferenceCodeSequence=Sequence([code("121322", "DCM", "Source image for image processing operation")]))
            derived = item(SourceImageSequence=Sequence([source]),
                           DerivationCodeSequence=Sequence([code("113076", "DCM", "Segmentation")]))
            groups.append(item(
                FrameContentSequence=Sequence([item(DimensionIndexValues=[segment, number])]),
                SegmentIdentificationSequence=Sequence([item(ReferencedSegmentNumber=segment)]),
                PlanePositionSequence=Sequence([item(ImagePositionPatient=[-64, -64, number * 3])]),
                DerivationImageSequence=Sequence([derived]),
            ))
    ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames = Sequence(groups), len(frames)
    ds.PixelData = numpy.packbits(numpy.concatenate([frame.ravel() for frame in frames]), bitorder="little").tobytes()
    write(folder, ds)


def us(folder):
    ds = base(OTHER_STUDY, 1, 1, US_CLASS, "US", "ĐẶNG^THỊ HÒA", "BN-8200")
    frames, rows, columns = 12, 96, 128
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.NumberOfFrames, ds.Rows, ds.Columns, ds.FrameTime = frames, rows, columns, 50
    ds.FrameIncrementPointer = 0x00181063
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    pixels = numpy.zeros((frames, rows, columns, 3), numpy.uint8)
    for number in range(frames):
        pixels[number, :, number * 8 : number * 8 + 16, 0] = 255
        pixels[number, 40:60, :, 1] = 20 * number
    ds.PixelData = pixels.tobytes()
    write(folder, ds)


def ecg(folder):
    ds = base(OTHER_STUDY, 2, 1, ECG_CLASS, "ECG", "ĐẶNG^THỊ HÒA", "BN-8200")
    ds.AcquisitionDateTime, ds.AcquisitionContextSequence = "20260301101600", Sequence([])
    leads, rate, seconds = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"], 500, 5
    codes = ["5.6.3-9-1", "5.6.3-9-2", "5.6.3-9-61", "5.6.3-9-62", "5.6.3-9-63", "5.6.3-9-64"]
    codes += [f"5.6.3-9-{number}" for number in range(3, 9)]
    beat = [math.exp(-((t % 1 - 0.4) ** 2) / 0.0004) + 0.2 * math.exp(-((t % 1 - 0.65) ** 2) / 0.004)
            for t in (at / rate for at in range(rate * seconds))]
    samples = numpy.array([[int(value * 800 * (1 + lead / 12) * (-1 if lead == 3 else 1)) for lead in range(12)] for value in beat], "<i2")
    channels = [
        item(ChannelSourceSequence=Sequence([code(value, "SCPECG", f"Lead {lead}")]), ChannelLabel=lead, ChannelSensitivity=1.25,
             ChannelSensitivityUnitsSequence=Sequence([code("uV", "UCUM", "microvolt")]), ChannelSensitivityCorrectionFactor=1,
             ChannelBaseline=0, ChannelSampleSkew=0, WaveformBitsStored=16)
        for value, lead in zip(codes, leads)
    ]
    ds.WaveformSequence = Sequence([item(
        MultiplexGroupTimeOffset=0, WaveformOriginality="ORIGINAL", NumberOfWaveformChannels=12,
        NumberOfWaveformSamples=rate * seconds, SamplingFrequency=rate, MultiplexGroupLabel="RHYTHM",
        ChannelDefinitionSequence=Sequence(channels), WaveformBitsAllocated=16, WaveformSampleInterpretation="SS",
        WaveformData=samples.tobytes(),
    )])
    write(folder, ds)


if __name__ == "__main__":
    into = pathlib.Path(sys.argv[1])
    for make in (ct, seg, us, ecg):
        make(into)
    print(json.dumps({"ct": CT_STUDY, "other": OTHER_STUDY}))
