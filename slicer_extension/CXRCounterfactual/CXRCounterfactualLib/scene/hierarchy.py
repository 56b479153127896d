# SPDX-License-Identifier: Apache-2.0
"""Where a node stands in the subject hierarchy: everything of a run in its source's study."""

from typing import Any

DICOM = "DICOM"  # the name under which the hierarchy keeps DICOM UIDs


def tree(scene: Any) -> Any:
    """The scene's subject hierarchy node."""
    from slicer import vtkMRMLSubjectHierarchyNode

    return vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def nodes(scene: Any, class_name: str) -> list[Any]:
    """Every node of a class, in the order of the scene."""
    count = scene.GetNumberOfNodesByClass(class_name)
    return [scene.GetNthNodeByClass(index, class_name) for index in range(count)]


def remove(scene: Any, node: Any) -> None:
    """Take a node out of the scene with all that only it needs: displays and storage."""
    belongings = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    belongings += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    for each in (node, *belongings):
        if each is not None:
            scene.RemoveNode(each)


def place_beside(scene: Any, node: Any, source: Any) -> None:
    """Put a node into the study (or folder) that its source is in; at the top if it is in none."""
    items = tree(scene)
    of_source, item = items.GetItemByDataNode(source), items.GetItemByDataNode(node)
    parent = items.GetItemParent(of_source) if of_source else items.GetSceneItemID()
    if not item:
        items.CreateItem(parent, node)
    elif items.GetItemParent(item) != parent:
        items.SetItemParent(item, parent)


def name_series(scene: Any, node: Any, series_uid: str) -> None:
    """Tell the hierarchy which DICOM series a node is, so that Slicer's export knows it."""
    items = tree(scene)
    item = items.GetItemByDataNode(node)
    if item and series_uid:
        items.SetItemUID(item, DICOM, series_uid)
