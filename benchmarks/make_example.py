# SPDX-License-Identifier: Apache-2.0
"""A public DICOM chest radiograph in, the example radiograph ``docs/example.dcm`` out.

    pip download --no-deps pydicom-data==1.0.0
    unzip pydicom_data-1.0.0-py3-none-any.whl data_store/data/RG1_UNCR.dcm
    python benchmarks/make_example.py data_store/data/RG1_UNCR.dcm

RG1 is a computed radiograph that NEMA published for tests of DICOM software; pydicom-data
redistributes it under the MIT licence. The example is its picture at 1024 pixels and 8 bits, a
Secondary Capture made on a workstation (ConversionType WSD). Its header says what is known of
this picture and nothing else: no spacing, no dates, no device, no exposure.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, SecondaryCaptureImageStorage

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.writing.uids import stable_uid

SOURCE = "RG1 of the NEMA DICOM compressed samples, by way of pydicom-data 1.0.0 (MIT)"
SIDE = 1024  # the longer side, pixels
EMPTY = (
    *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("ReferringPhysicianName", "AccessionNumber"),
)


def make_example(radiograph: Radiograph) -> Dataset:
    """The data set of the example: the picture as displayed, bright = dense, 8 bits."""
    picture = Image.fromarray(np.round(radiograph.pixels * 255).astype(np.uint8))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    ds = Dataset()
    _identify(ds, radiograph)
    ds.Modality = "CR"
    ds.ConversionType = "WSD"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "PA"
    ds.PatientOrientation = ["L", "F"]
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.SeriesDescription = "Chest PA"
    ds.ImageComments = SOURCE
    ds.DerivationDescription = "window applied, reduced in size, 8 bits"
    ds.WindowCenter, ds.WindowWidth = "128", "256"  # the picture as it is
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    ds["PixelData"].VR = "OB"
    return ds


def _identify(ds: Dataset, radiograph: Radiograph) -> None:
    """UIDs from the source's pixels; a patient that is the sample's own name and nothing more."""
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = SecondaryCaptureImageStorage
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(ds, keyword, stable_uid("example", radiograph.sha256, keyword))
    ds.PatientName = "CompressedSamples^RG1"
    ds.PatientID = "9RG1"
    for keyword in EMPTY:
        setattr(ds, keyword, "")
    ds.SeriesNumber = ds.InstanceNumber = 1


def main() -> None:
    """Write the file."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("source", type=Path, help="RG1_UNCR.dcm")
    parser.add_argument("--out", type=Path, default=Path("docs/example.dcm"))
    chosen = parser.parse_args()
    ds = make_example(read_source(chosen.source))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.compress(JPEGLSLossless, generate_instance_uid=False)  # a third of the bytes
    ds.save_as(chosen.out, enforce_file_format=True)


if __name__ == "__main__":
    main()
