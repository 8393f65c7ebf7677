import pytest

from tests.sabotage.patches import ROOT, all_patches, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    return folder


@pytest.mark.parametrize("patch", all_patches(), ids=lambda patch: patch.name)
def test_patch_applies_and_names_tests_that_exist(patch, project, tmp_path):
    for name in patch.path.read_text().splitlines():
        if name.startswith("--- a/"):
            target = tmp_path / name.removeprefix("--- a/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((project / name.removeprefix("--- a/")).read_bytes())

    patch.apply(tmp_path)

    missing = [test for test in patch.tests if not (ROOT / test.split("::")[0]).exists()]
    assert missing == []


def test_there_are_enough_bugs():
    assert len(all_patches()) >= 30
