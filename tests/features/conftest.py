"""Photos for the tests of this folder."""

import pytest
from helpers.photos import twelve


@pytest.fixture
def photos(tmp_path):
    """Twelve photos of different sizes."""
    return twelve(tmp_path / "photos")
