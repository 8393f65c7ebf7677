"""The corpus of files that people send: each comes to what stands beside it in `corpus/expected.yaml`."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from accounts.tenancy import brand_scope
from common.clock import now
from common.errors import AppError
from imports import services
from tests.imports.conftest import again, verdicts
from tests.sources import load_yaml

HERE = Path(__file__).parent / "corpus"
EXPECTED = load_yaml((HERE / "expected.yaml").read_text())


def test_every_file_of_the_corpus_has_its_answer():
    assert {path.name for path in HERE.iterdir()} - {"expected.yaml"} == set(EXPECTED)


@pytest.mark.django_db
@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_comes_to_what_is_expected(brand, quiet, name):
    body = (HERE / name).read_bytes()
    found = outcome(brand, name, gzip.decompress(body) if name.endswith(".gz") else body)
    assert found == {key: shown(value) for key, value in EXPECTED[name].items()}


def shown(value):
    return {row: tuple(said) for row, said in value.items()} if isinstance(value, dict) else value


def outcome(brand, name, body):
    try:
        with brand_scope(brand.pk):
            job = services.take_file(name=name, body=body, kind="members", at=now())
            services.begin_dry_run(job_id=job.pk, columns=job.columns, options={}, at=now())
    except AppError as refusal:
        return {"refused": refusal.code if refusal.message and refusal.hint else "without a word"}
    services.try_out(brand_id=brand.pk, job_id=job.pk)
    if again(brand, job).problem:
        return {"refused": "table_unreadable"}
    judged = verdicts(brand, job)
    return {"rows": {row: (state, *(" ".join(each) for each in why)) for row, (state, why) in judged.items()}}
