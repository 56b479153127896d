# SPDX-License-Identifier: Apache-2.0
"""What a training's terminal line and events say, and that logging is left as it was."""

import io
import json
import logging
from pathlib import Path

import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.commands.watch import told, watched_training
from monai_cxr_cf.runs.progress import Bar, Events, Silent
from monai_cxr_cf.training.loop import Journal, Pace


def test_events_carry_step_share_time_left_and_figures(tmp_path: Path) -> None:
    stream = io.StringIO()
    with watched_training("diffusion", Events(stream)):
        journal = Journal(tmp_path)
        journal.write(20, share=0.25, minutes_left=1.5, loss=0.5, images_s=4.0)
        journal.write(40, sensitivity_inside=7.0)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {
        "event": "progress", "stage": "diffusion", "step": 20, "share": 0.25, "eta_s": 90.0,
        "figures": {"loss": 0.5, "images_s": 4.0},
    }  # fmt: skip
    assert second["step"] == 40
    assert second["figures"] == {"loss": 0.5, "images_s": 4.0, "sensitivity_inside": 7.0}


def test_the_bar_shows_loss_sensitivity_speed_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watched_training("diffusion", Bar()):
        Journal(tmp_path).write(5, share=0.5, minutes_left=65, loss=0.0612, images_s=11.0)
        logging.getLogger("monai_cxr_cf.training.generator.pool").info("caching latents")
    shown = " ".join(capsys.readouterr().err.split())
    assert "caching latents" in shown
    assert "50%" in shown
    figures = {"step": 5, "loss": 0.0612, "sensitivity_inside": 7.1, "minutes_left": 65.2}
    assert told(figures) == "step 5  loss 0.0612  sensitivity 7.1  1 h 05 left"


def test_logging_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("monai_cxr_cf")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with pytest.raises(ZeroDivisionError), watched_training("x", Bar()):
        raise ZeroDivisionError
    with watched_training("x", Silent()):
        logger.info("goes to the log")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    assert "goes to the log" in caplog.text


def test_progress_counts_images_a_second_since_it_was_last_asked() -> None:
    progress = Pace(steps=10)
    progress.seconds, progress._mark = 100.0, progress._mark
    progress.figures()
    progress.advance(images=12)
    seconds = progress.seconds - 100.0
    assert progress.figures()["images_s"] == pytest.approx(12 / seconds)
    assert "images_s" not in progress.figures()


@pytest.mark.parametrize("what", ["autoencoder", "segmentation", "classifier"])
def test_only_diffusion_starts_from_a_backbone(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", what, "--data", "x", "--out", "y", "--start", "cxr-mini"]) == 2
    assert "--start" in capsys.readouterr().err


def test_help_teaches_every_training_and_how_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for word in ("autoencoder", "fine-tune", "mimic-cxr-jpg", "accelerate launch", "--resume"):
        assert word in text
