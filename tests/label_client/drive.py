# SPDX-License-Identifier: Apache-2.0
"""Every call of the stock MONAILabelClient that a plugin makes, in one go; the answers as JSON.

Runs in the environment of ``constraints.txt``: ``drive.py URL IMAGE FOLDER [PASSWORD]``.
"""

import json
import sys
from typing import Any

from monailabel.client import MONAILabelClient


def tour(url: str, image: str, folder: str, password: str) -> dict[str, Any]:
    """What the server answers, by the name of the call; pictures as paths below ``folder``."""
    client = MONAILabelClient(url, tmpdir=folder, client_id="user-xyz")
    said: dict[str, Any] = {"auth_enabled": client.auth_enabled()}
    if password:
        client.update_auth(client.auth_token("anyone", password))
        said["auth_valid_token"] = client.auth_valid_token()
    said["create_session"] = client.create_session(image)
    session = said["create_session"]["session_id"]
    said["get_session"] = client.get_session(session)
    said["info"] = client.info()
    picture, said["infer_by_session"] = client.infer("cxr_organs", "", {}, session_id=session)
    said["infer_by_session_image"] = picture
    said["upload_image"] = client.upload_image(image, "case-1")
    params = {"result_extension": ".nrrd", "result_dtype": "uint8"}
    picture, said["infer_by_id"] = client.infer("cxr_organs", "case-1", params)
    said["infer_by_id_image"] = picture
    picture, _ = client.infer("cxr_organs", "", {}, file=image)
    said["infer_by_file_image"] = picture
    said["next_sample"] = client.next_sample("first", {})
    said["save_label"] = client.save_label("case-1", picture, "final", {"label_info": []})
    said["download_label"] = client.download_label("case-1", "final")
    said["datastore"] = client.datastore()
    said["nothing_left"] = client.next_sample("random", {})
    said["remove_session"] = client.remove_session(session)
    return said


if __name__ == "__main__":
    sys.stdout.write(json.dumps(tour(*sys.argv[1:4], "".join(sys.argv[4:5]))))
