// SPDX-License-Identifier: Apache-2.0
// Opens SEGs as OHIF does: read_seg.mjs IMAGE SEG [IMAGE SEG]...; what it found, a JSON line a pair.
import { readFileSync } from 'node:fs';
import { adaptersSEG } from '@cornerstonejs/adapters';
import { metaData } from '@cornerstonejs/core';
import dcmjs from 'dcmjs';

function bytesOf(file) {
  const read = readFileSync(file);
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.length);
}

function instanceOf(file) {
  const { dict } = dcmjs.data.DicomMessage.readFile(bytesOf(file), { ignoreErrors: true });
  return dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict);
}

// As the MetadataProvider of @ohif/core: what an image says of its plane, else these defaults.
function modulesOf(image) {
  const [rows, columns] = image.PixelSpacing ?? [1, 1];
  const axes = image.ImageOrientationPatient ?? [1, 0, 0, 0, 1, 0];
  return {
    instance: image,
    generalImageModule: { sopInstanceUID: image.SOPInstanceUID },
    generalSeriesModule: { seriesInstanceUID: image.SeriesInstanceUID, modality: image.Modality },
    imagePixelModule: image,
    imagePlaneModule: {
      frameOfReferenceUID: image.FrameOfReferenceUID,
      rows: image.Rows,
      columns: image.Columns,
      imageOrientationPatient: axes,
      rowCosines: axes.slice(0, 3),
      columnCosines: axes.slice(3),
      imagePositionPatient: image.ImagePositionPatient ?? [0, 0, 0],
      pixelSpacing: [rows, columns],
      rowPixelSpacing: rows,
      columnPixelSpacing: columns,
      usingDefaultValues: !image.ImageOrientationPatient,
    },
  };
}

async function read(imageFile, segFile) {
  const modules = modulesOf(instanceOf(imageFile));
  metaData.addProvider((type, id) => (id === imageFile ? modules[type] : undefined));
  const found = await adaptersSEG.Cornerstone3D.Segmentation.createFromDICOMSegBuffer(
    [imageFile], bytesOf(segFile), { metadataProvider: metaData, tolerance: 0.001 },
  );
  const segments = found.segMetadata.data.filter(Boolean);
  return {
    labels: Object.fromEntries(segments.map((s) => [Number(s.SegmentNumber), s.SegmentLabel])),
    overlapping: found.overlappingSegments,
    layers: found.labelMapImages.map(([map]) => Buffer.from(map.getPixelData()).toString('base64')),
  };
}

const files = process.argv.slice(2);
for (let i = 0; i < files.length; i += 2) {
  console.log(JSON.stringify(await read(files[i], files[i + 1])));
}
