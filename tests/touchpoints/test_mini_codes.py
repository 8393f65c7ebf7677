"""Short scenes: eight signed characters per brand, revocable; WeChat draws them; the REST endpoint resolves them."""

from __future__ import annotations

import io

import pytest
import zxingcpp
from PIL import Image

from accounts.tenancy import brand_scope
from common import clock
from tests.factories import AT, make_account, make_mini_program, make_store
from tests.touchpoints.conftest import DAY
from touchpoints import services, tasks
from touchpoints.errors import NoSuchScene, NotInTree
from touchpoints.models import MiniCode, Touchpoint
from touchpoints.selectors import is_ours, resolve_scene, short_scene
from touchpoints.selectors.mini_codes import ALPHABET, NUMBERS
from touchpoints.services import archive_branch, create_mini_code, create_touchpoint, revoke_mini_code


@pytest.fixture
def program(brand, simulator, settings):
    """A mini program that the simulated WeChat knows."""
    settings.WECHAT_BASE_URL = simulator.url
    with brand_scope(brand.pk):
        row = make_mini_program()
    simulator.know(row)
    return row


def make(program, **more):
    store = make_store()
    code = create_touchpoint(name="门口", account=make_account(), store=store, at=AT, benefit="八折券")
    return create_mini_code(touchpoint=code, program=program, page="pages/store/index", at=AT, **more)


def test_scene_has_eight_characters_that_people_can_read(in_brand):
    numbers = [0, 1, NUMBERS - 1, *range(1000, NUMBERS, 99_991)]
    scenes = [short_scene(in_brand.pk, number) for number in numbers]

    assert {len(scene) for scene in scenes} == {8}
    assert set("".join(scenes)) <= set(ALPHABET)
    assert all(is_ours(in_brand.pk, scene) for scene in scenes)
    assert len(set(scenes)) == len(numbers)


def test_changed_character_is_refused_without_a_look_into_the_database(in_brand, django_assert_num_queries):
    scene = short_scene(in_brand.pk, 123_456)
    assert is_ours(in_brand.pk, scene)
    forged = [
        scene[:place] + each + scene[place + 1 :] for place in range(8) for each in ALPHABET if each != scene[place]
    ]

    with django_assert_num_queries(0):
        taken = [each for each in forged if is_ours(in_brand.pk, each)]
    assert len(forged) == 8 * 31
    assert len(taken) <= 1  # the signature has 16 bits: one of 248 is right by chance in one run of 264


def test_scene_resolves_also_as_people_type_it(in_brand):
    made = make(make_mini_program())
    MiniCode.objects.filter(pk=made.pk).update(code=short_scene(in_brand.pk, 0x10000))
    scene = MiniCode.objects.get().code
    typed = scene.lower().replace("0", "o").replace("1", "l")

    assert typed != scene
    assert resolve_scene(f" {typed} ", at=AT).pk == made.pk


@pytest.mark.parametrize("how", ["revoked", "ended", "channel archived", "channel ended", "unknown", "forged", "empty"])
def test_scene_that_is_not_in_use_is_not_found(in_brand, how):
    made = make(make_mini_program(), ends_at=AT + DAY if how == "ended" else None)
    text = made.code
    if how == "revoked":
        revoke_mini_code(mini_code=made, at=AT)
    if how == "channel archived":
        archive_branch(touchpoint=made.touchpoint, at=AT)
    if how == "channel ended":
        Touchpoint.objects.filter(pk=made.touchpoint_id).update(ends_at=AT + DAY)
    if how == "unknown":
        text = short_scene(in_brand.pk, 77)
    if how == "forged":
        text = made.code[:-1] + ("0" if made.code[-1] != "0" else "1")
    if how == "empty":
        text = ""

    with pytest.raises(NoSuchScene):
        resolve_scene(text, at=AT + 2 * DAY)


def test_scene_of_one_brand_is_nothing_in_another(brand, other_brand):
    with brand_scope(brand.pk):
        made = make(make_mini_program())
    with brand_scope(other_brand.pk):
        assert not is_ours(other_brand.pk, made.code)
        with pytest.raises(NoSuchScene):
            resolve_scene(made.code, at=AT)


@pytest.mark.parametrize("page", ["/pages/index", "pages/index?x=1", "pages/ index", "pages\\index"])
def test_page_that_wechat_would_refuse_is_refused_first(in_brand, page):
    with pytest.raises(NotInTree):
        create_mini_code(
            touchpoint=create_touchpoint(name="门口", at=AT), program=make_mini_program(), page=page, at=AT
        )


# --- WeChat draws ----------------------------------------------------------------------------------------------------


def test_wechat_draws_a_picture_that_carries_the_scene(brand, program):
    with brand_scope(brand.pk):
        made = make(program)
    assert services.draw_mini_code(brand.pk, made.pk, at=clock.now())

    with brand_scope(brand.pk):
        picture = bytes(MiniCode.objects.get(pk=made.pk).picture)
    assert made.code in zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))[0].text


@pytest.mark.parametrize("code", [41030, 45009])
def test_refusal_stays_with_the_code_and_a_later_picture_clears_it(brand, program, simulator, code):
    simulator.fault(kind="errcode", appid=program.appid, path="/wxa/getwxacodeunlimit", errcode=code, count=1)
    with brand_scope(brand.pk):
        made = make(program)
    assert not services.draw_mini_code(brand.pk, made.pk, at=clock.now())
    with brand_scope(brand.pk):
        row = MiniCode.objects.get(pk=made.pk)
        assert row.picture is None
        assert row.problem
        if code == 45009:
            return  # the day's quota is over
    assert services.draw_mini_code(brand.pk, made.pk, at=clock.now())
    with brand_scope(brand.pk):
        assert MiniCode.objects.get(pk=made.pk).problem == ""


def test_revoked_code_is_not_drawn(brand, program):
    with brand_scope(brand.pk):
        made = make(program)
        revoke_mini_code(mini_code=made, at=AT)

    assert not services.draw_mini_code(brand.pk, made.pk, at=clock.now())


def test_a_picture_that_never_came_is_asked_for_within_the_hour(brand, program, monkeypatch):
    """Its only ring was lost: the broker was away, or the worker died."""
    rung = []
    monkeypatch.setattr("touchpoints.services.mini_codes.ring", lambda task, *args: rung.append((task, args)))
    now = clock.now()
    with brand_scope(brand.pk):
        lost = make(program)
        shop = lost.touchpoint

        def another(**fields):
            row = create_mini_code(touchpoint=shop, program=program, page="pages/index", at=AT)
            MiniCode.objects.filter(pk=row.pk).update(**fields)

        another(picture=b"png")
        another(revoked_at=AT)
        another(ends_at=AT + DAY)
        another(sent_by="MENU")  # travels with a page, and has no picture
        another(created_at=now)  # is being drawn
    rung.clear()

    tasks.renew_codes(brand.pk)

    assert rung == [(tasks.draw_mini_code, (brand.pk, lost.pk))]
    task, args = rung.pop()
    task(*args)
    tasks.renew_codes(brand.pk)
    assert rung == []
