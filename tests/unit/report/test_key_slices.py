"""Which slices are shown, and that they are shown the right way round."""

import base64
import io

import numpy as np
import pytest
from example_result import example_result
from PIL import Image

from ich_seq.report.key_slices import choose_key_slices, draw_key_images, window_to_grey


def picture(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_the_highest_label_comes_first_and_a_slice_once():
    keys = choose_key_slices(example_result())
    assert [key.index for key in keys] == [3]
    assert [score.label for score in keys[0].labels][:2] == ["any", "intraparenchymal"]


def test_no_more_slices_than_asked_for():
    result = example_result()
    spread = result.model_copy(
        update={
            "scan": tuple(
                score.model_copy(update={"stage_two": score.stage_two.model_copy(update={"slice_index": number})})
                for number, score in enumerate(result.scan)
            )
        }
    )
    assert [key.index for key in choose_key_slices(spread, most=2)] == [5, 1]  # any 0.9, intraparenchymal 0.72


def test_windows_by_hand():
    hu = np.array([[-10, 0, 20, 40, 80, 100]], np.float32)
    # Level 40, width 80: 0 HU is 0, 80 HU is 255, and 40 HU is 127.5, rounded to even.
    assert window_to_grey(hu, 40, 80).tolist() == [[0, 0, 64, 128, 255, 255]]


def test_image_left_is_patient_right_and_top_is_front():
    """Columns run to the patient's left, so a bright spot at low row and column lies in the picture's upper left."""
    hu = np.full((120, 120), 10, np.float32)
    hu[10:20, 10:20] = 80
    (image,) = draw_key_images({7: hu}, (0.5, 0.5))
    grey = picture(image.brain)
    y, x = np.unravel_index(grey.argmax(), grey.shape)
    assert image.index == 7
    assert y < grey.shape[0] / 2
    assert x < grey.shape[1] / 2


def test_only_what_is_black_everywhere_is_cut_off():
    dark, bright = np.full((200, 200), -1000, np.float32), np.full((200, 200), -1000, np.float32)
    dark[100:120, 90:110] = 40
    bright[50:60, 150:160] = 40
    images = draw_key_images({0: dark, 1: bright}, (1.0, 1.0))
    assert {(image.width, image.height) for image in images} == {(384, 384)}  # box of both: 70 x 70 and a margin of 6
    assert all(picture(image.brain).max() > 100 for image in images)


@pytest.mark.parametrize(
    ("spacing", "size"), [((1.0, 1.0), (384, 192)), ((2.0, 1.0), (384, 384)), ((1.0, 0.5), (384, 384))]
)
def test_pixels_are_drawn_square_in_mm(spacing, size):
    (image,) = draw_key_images({0: np.full((50, 100), 40, np.float32)}, spacing)
    assert (image.width, image.height) == size
    assert picture(image.subdural).shape == size[::-1]


def test_an_all_black_slice_is_drawn_whole():
    (image,) = draw_key_images({0: np.full((64, 64), -1000, np.float32)}, (1.0, 1.0))
    assert picture(image.brain).max() == 0
