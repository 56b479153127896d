# SPDX-License-Identifier: Apache-2.0
"""One PNG of NIH ChestX-ray14 in, the example radiograph ``docs/example.dcm`` out.

    python benchmarks/make_example.py IMAGE.png --image-id 00001820 --view AP

The header tells what is known and nothing else: an 8-bit Secondary Capture of a scanned or
exported film (ConversionType WSD), no spacing, no dates, no exposure, no real patient.
Source: X. Wang et al., ChestX-ray8, CVPR 2017; images provided by the NIH Clinical Center,
free of restrictions on use.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from monai_cxr_cf.dicom.uids import stable_uid

SOURCE = "NIH ChestX-ray14 (Wang et al., CVPR 2017), image provided by the NIH Clinical Center"


def make_example(png: Path, *, image_id: str, view: str) -> Dataset:
    """The data set of one image.

    Args:
        png: 8-bit picture; colours are refused unless all three channels are equal.
        image_id: number in the collection, such as 00001820 or 00001820_003.
        view: PA or AP, from the collection's table.
    """
    pixels = np.asarray(Image.open(png))
    if pixels.ndim == 3:
        if not (pixels[..., :1] == pixels[..., :3]).all():
            raise SystemExit("the picture has colours; expected grey")
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8:
        raise SystemExit(f"the picture has {pixels.dtype} pixels; expected 8 bits")
    ds = Dataset()
    _identify(ds, image_id, pixels)
    ds.Modality = "OT"  # CR or DX: the collection does not say which
    ds.ConversionType = "WSD"
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = view
    ds.PatientOrientation = ["L", "F"]
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.SeriesDescription = f"Chest {view}"
    ds.ImageComments = f"{image_id} of {SOURCE}"
    ds.WindowCenter, ds.WindowWidth = "128", "256"  # the picture as published
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    ds["PixelData"].VR = "OB"
    return ds


def _identify(ds: Dataset, image_id: str, pixels: np.ndarray) -> None:
    """UIDs from the pixels; a patient that is the collection's own number and nothing more."""
    digest = sha256(pixels.tobytes()).hexdigest()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = SecondaryCaptureImageStorage
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(ds, keyword, stable_uid("example", digest, keyword))
    ds.PatientName = "NIH^ChestX-ray14"
    ds.PatientID = f"NIH-{image_id.split('_')[0]}"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "by the NIH Clinical Center before publication"
    empty = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
    for keyword in (*empty, "ReferringPhysicianName", "AccessionNumber"):
        setattr(ds, keyword, "")
    ds.SeriesNumber = ds.InstanceNumber = 1


def main() -> None:
    """Write the file."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("png", type=Path)
    parser.add_argument("--image-id", required=True)
    parser.add_argument("--view", choices=["PA", "AP"], required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/example.dcm"))
    chosen = parser.parse_args()
    ds = make_example(chosen.png, image_id=chosen.image_id, view=chosen.view)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(chosen.out, enforce_file_format=True, implicit_vr=False, little_endian=True)


if __name__ == "__main__":
    main()
