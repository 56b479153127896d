# SPDX-License-Identifier: Apache-2.0
"""Which header attributes an output inherits from its source and which would now be untrue.

Tables only (docs/dicom-conformance.md 4.1); ``inherit`` applies them. A Secondary Capture takes
what is listed, a derived CR or DX takes all but what is listed as untrue.
"""

PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex",
    "OtherPatientIDsSequence", "OtherPatientNames", "EthnicGroup", "PatientComments",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)  # fmt: skip
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription",
    "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "ProcedureCodeSequence",
    "PatientAge", "PatientSize", "PatientWeight", "PatientSexNeutered", "AdmissionID",
    "AdditionalPatientHistory", "Occupation", "TimezoneOffsetFromUTC",
)  # fmt: skip
TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber",
)  # fmt: skip

IMAGE = (
    "Modality", "Laterality", "BodyPartExamined", "PatientOrientation", "ViewPosition",
    "ViewCodeSequence", "AnatomicRegionSequence", "AcquisitionDate", "AcquisitionTime",
    "ProtocolName", "BurnedInAnnotation", "RecognizableVisualFeatures",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelAspectRatio",
    "RescaleIntercept", "RescaleSlope", "RescaleType", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction",
    "VOILUTSequence", "PresentationLUTShape", "ContributingEquipmentSequence",
)  # fmt: skip
"""What a Secondary Capture takes besides patient and study."""

UNTRUE = (
    # exposure and dose: nobody was exposed for this image
    "KVP", "ExposureTime", "ExposureTimeInuS", "XRayTubeCurrent", "XRayTubeCurrentInuA",
    "XRayTubeCurrentInmA", "ExposureTimeInms", "Exposure", "ExposureInuAs", "ExposureInmAs",
    "RelativeXRayExposure", "ExposureIndex", "TargetExposureIndex", "DeviationIndex",
    "EntranceDose", "EntranceDoseInmGy", "EntranceDoseDerivation", "OrganDose", "OrganExposed",
    "ImageAndFluoroscopyAreaDoseProduct", "AcquiredImageAreaDoseProduct",
    "AcquiredImageAreaDoseProductSequence", "HalfValueLayer", "CommentsOnRadiationDose",
    "IrradiationEventUID", "ExposureControlMode", "ExposureControlModeDescription",
    "ExposureStatus", "PhototimerSetting", "ExposuresOnPlate", "RadiationSetting",
    "XRayOutput", "ExposureDoseSequence", "RadiationMode", "Sensitivity",
    # request and performed procedure: nobody ordered or performed this one
    "RequestAttributesSequence", "ReferencedPerformedProcedureStepSequence",
    "PerformedProcedureStepID", "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime", "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime", "PerformedProcedureStepDescription",
    "PerformedProtocolCodeSequence", "CommentsOnThePerformedProcedureStep",
    "PerformedProcedureCodeSequence", "RequestedProcedureID", "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence", "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence", "ScheduledProcedureStepID",
    "ScheduledProcedureStepDescription", "RequestingPhysician", "RequestingService",
    # what pointed from the source elsewhere, was signed or was drawn
    "SourceImageSequence", "ReferencedImageSequence", "ReferencedInstanceSequence",
    "ReferencedSeriesSequence", "StudiesContainingOtherReferencedInstancesSequence",
    "ReferencedPatientPhotoSequence", "DerivationDescription", "DerivationCodeSequence",
    "DigitalSignaturesSequence", "MACParametersSequence", "EncryptedAttributesSequence",
    "OriginalAttributesSequence", "IconImageSequence", "SmallestImagePixelValue",
    "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "DataSetTrailingPadding", "PixelDataProviderURL",
    # the identity of the source and of its device
    "FrameOfReferenceUID", "PositionReferenceIndicator", "InstanceCreationDate",
    "InstanceCreationTime", "InstanceCreatorUID", "InstanceCoercionDateTime",
    "SeriesDate", "SeriesTime", "SeriesDescription", "SeriesDescriptionCodeSequence",
    "OperatorsName", "PerformingPhysicianName", "DeviceSerialNumber", "StationName",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "DeviceUID",
    "UDISequence", "DateOfLastCalibration", "TimeOfLastCalibration", "ImageComments",
    "QualityControlSubject", "SyntheticData", "QualityControlImage",
)  # fmt: skip
"""What a derived CR or DX drops; private groups, overlays and curves go by group number."""

UNPAIRED = (
    "CHEST", "HEART", "MEDIASTINUM", "TRACHEA", "STERNUM", "AORTA", "ESOPHAGUS", "NECKCHEST",
    "CHESTABDOMEN", "CHESTABDPELVIS", "ABDOMEN", "ABDOMENPELVIS", "PELVIS", "WHOLEBODY", "HEAD",
    "HEADNECK", "SKULL", "BRAIN", "JAW", "NOSE", "NECK", "LARYNX", "PHARYNX", "SPINE", "CSPINE",
    "CTSPINE", "TSPINE", "TLSPINE", "LSPINE", "LSSPINE", "SSPINE", "COCCYX", "STOMACH", "LIVER",
    "SPLEEN", "PANCREAS", "BLADDER", "UTERUS", "PROSTATE",
)  # fmt: skip
"""Body parts without a side (PS3.16 annex L): what a chest and its neighbours are called."""

EQUIPMENT = (
    "Manufacturer", "InstitutionName", "StationName", "InstitutionalDepartmentName",
    "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "DeviceUID",
)  # fmt: skip
"""The source's device, which moves to ContributingEquipmentSequence."""
