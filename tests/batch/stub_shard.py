# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch shard DIR --number K`` with the stub's work, for scripts of a cluster."""

import sys
from pathlib import Path

from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.run import run
from monai_cxr_cf.batch.store.run_folder import RunFolder
from tests.batch.stubs import Stub

if __name__ == "__main__":
    folder, number = RunFolder(Path(sys.argv[1])), int(sys.argv[sys.argv.index("--number") + 1])
    sys.exit(run(folder, Stub(), How(), shards=[number]).exit_code)
