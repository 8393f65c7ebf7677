"""What a crowd does is known beforehand: decided by a seed and the person alone."""

import itertools
import re

import pytest

from tests.wechat_simulator.conftest import APPID, OTHER, Callback
from tests.wechat_simulator.wecom.conftest import CORP, WORLD, WeCom
from wechat_simulator.behaviour import Behaviour, draw
from wechat_simulator.world import WorldError

DAY = 86400
CHANCES = {
    "seed": "spring",
    "open": 0.6,
    "click": 0.5,
    "reply": 0.2,
    "buy": 0.2,
    "buy_anyway": 0.1,
    "block": 0.1,
    "leave": 0.1,
}
COUNT = 60


def model(**more):
    return Behaviour("fan", COUNT, **{**CHANCES, **more})


@pytest.fixture
def crowd(simulator):
    def make(**more):
        crowd = {"prefix": "fan", "count": COUNT, "follows": [APPID, OTHER], "behaviour": {**CHANCES, **more}}
        simulator.control("/world", {"crowds": [crowd]})
        return Behaviour("fan", COUNT, **{**CHANCES, **more})

    return make


def tell(simulator, people, **more):
    for person in people:
        answer = simulator.send(simulator.openid(person), **more)
        assert answer["errcode"] == 0, answer
    simulator.settle()


def test_a_draw_is_fixed_and_even():
    assert draw("spring", "fan000001", "open") == draw("spring", "fan000001", "open")
    assert len({draw(*parts) for parts in (("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x"))}) == 4
    numbers = [draw("spring", f"fan{number}", "open") for number in range(4000)]
    for tenth in range(10):
        assert 330 < sum(tenth / 10 <= number < (tenth + 1) / 10 for number in numbers) < 470


def test_a_fate_does_not_change_with_time_company_or_other_chances():
    few, many = model(), Behaviour("fan", 5000, **CHANCES)
    assert [few.fate(person) for person in few.people()] == [many.fate(person) for person in few.people()]
    keener = model(open=0.9)
    for person in few.people():
        before, after = few.fate(person), keener.fate(person)
        assert after.opens or not before.opens  # who opened before opens still
        assert (before.buys, before.leaves, before.blocks) == (after.buys, after.leaves, after.blocks)
    assert [model(seed="autumn").fate(person) for person in few.people()] != [
        few.fate(person) for person in few.people()
    ]


def test_what_excludes_what():
    behaviour = Behaviour("fan", 3000, **CHANCES)
    fates = [behaviour.fate(person) for person in behaviour.people()]
    assert all(fate.opens for fate in fates if fate.clicks or fate.replies)
    assert not any(fate.leaves and fate.blocks for fate in fates)
    assert not any(fate.buys and fate.buys_anyway for fate in fates)
    assert not any(fate.ignores and (fate.opens or fate.leaves or fate.blocks) for fate in fates)
    share = lambda name: sum(getattr(fate, name) for fate in fates) / len(fates)  # noqa: E731
    for name, chance in (
        ("opens", 0.6),
        ("clicks", 0.3),
        ("replies", 0.12),
        ("buys", 0.18),
        ("buys_anyway", 0.1),
        ("leaves", 0.1),
        ("blocks", 0.1),
    ):
        assert abs(share(name) - chance) < 0.03, name


def test_nobody_and_everybody():
    nobody = Behaviour("fan", 100, seed="s").view()["expected"]
    assert (nobody.pop("ignores"), set(nobody.values())) == (100, {0})
    every = Behaviour("fan", 100, seed="s", open=1, click=1, reply=1, buy=1, leave=1).view()["expected"]
    assert {name: every[name] for name in ("opens", "clicks", "replies", "buys", "leaves", "blocks", "ignores")} == {
        "opens": 100, "clicks": 100, "replies": 100, "buys": 100, "leaves": 100, "blocks": 0, "ignores": 0,
    }  # fmt: skip


@pytest.mark.parametrize("wrong", [{"open": 1.1}, {"leave": 0.6, "block": 0.6}, {"cycle_low": 9, "cycle_high": 3}])
def test_chances_that_make_no_sense(wrong):
    with pytest.raises(WorldError):
        model(**wrong)


def test_the_crowd_reacts_as_was_computed(simulator, crowd):
    behaviour = crowd()
    people = behaviour.people()[:30]
    tell(simulator, people)
    done = simulator.control("/behaviour/fan/react", {"appid": APPID})
    fates = {person: behaviour.fate(person) for person in people}
    wanted = lambda name: [person for person in people if getattr(fates[person], name)]  # noqa: E731
    assert done["opened"] == wanted("opens")
    assert [row["person"] for row in done["clicked"]] == wanted("clicks")
    assert (done["replied"], done["left"], done["blocked"], done["ignored"]) == (
        wanted("replies"),
        wanted("leaves"),
        wanted("blocks"),
        wanted("ignores"),
    )
    assert {row["person"]: row["cause"] for row in done["bought"]} == {
        **dict.fromkeys(wanted("buys"), "message"),
        **dict.fromkeys(wanted("buys_anyway"), "anyway"),
    }
    relations = {person: simulator.look(f"/people/{person}")["accounts"][APPID] for person in people}
    assert [person for person in people if not relations[person]["subscribed"]] == wanted("leaves")
    assert [person for person in people if relations[person]["blocked"]] == wanted("blocks")
    said = [entry["content"] for entry in simulator.entries(wanted("replies")[0]) if entry["from"] == "person"]
    assert said == ["好的，谢谢"]
    assert all(
        simulator.look(f"/people/{person}")["accounts"][OTHER]["subscribed"] for person in people
    )  # one account only


def test_a_second_reaction_starts_where_the_first_ended(simulator, crowd):
    behaviour = crowd(leave=0.0, block=0.0)
    people = behaviour.people()[:5]
    tell(simulator, people)
    first = simulator.control("/behaviour/fan/react", {"appid": APPID})
    empty = simulator.control("/behaviour/fan/react", {"appid": APPID, "since": first["next"]})
    assert (empty["opened"], empty["bought"], empty["next"]) == ([], [], first["next"])
    tell(simulator, people)
    again = simulator.control("/behaviour/fan/react", {"appid": APPID, "since": first["next"]})
    assert again["opened"] == first["opened"]


def test_who_is_not_of_the_crowd_does_nothing(simulator, crowd):
    crowd(open=1.0, leave=1.0, block=0.0)
    simulator.follow("小雨")
    tell(simulator, ["xiaoyu", "fan000001"])
    assert simulator.control("/behaviour/fan/react", {"appid": APPID})["left"] == ["fan000001"]
    assert simulator.look("/people/xiaoyu")["accounts"][APPID]["subscribed"] is True


def test_true_lift_is_what_the_message_caused(simulator, crowd):
    behaviour = crowd(leave=0.0, block=0.0)
    expected = simulator.look("/behaviour/fan")["expected"]
    tell(simulator, behaviour.people())
    bought = simulator.control("/behaviour/fan/react", {"appid": APPID})["bought"]
    assert len([row for row in bought if row["cause"] == "message"]) == expected["buys"]
    assert len(bought) - expected["buys"] == expected["buys_anyway"]
    at = {row["openid"]: row["received_at"] for row in simulator.rows(kind="template")}
    for row in bought:
        received = at[simulator.openid(row["person"])]
        assert received <= row["at"] <= received + 7 * DAY


def test_links_of_this_machine_are_opened_by_those_who_click(simulator, crowd):
    behaviour = crowd(open=1.0, click=1.0, leave=0.0, block=0.0)
    shop = Callback()
    try:
        tell(simulator, behaviour.people()[:3], url=f"{shop.url}?c=1")
        done = simulator.control("/behaviour/fan/react", {"appid": APPID, "follow": True})
        assert [(row["url"], row["status"]) for row in done["clicked"]] == [(f"{shop.url}?c=1", 200)] * 3
        assert [request["method"] for request in shop.requests] == ["GET"] * 3
    finally:
        shop.close()


def test_purchases_come_in_a_cycle_of_ones_own(simulator, crowd):
    behaviour = crowd(cycle_low=20.0, cycle_high=40.0)
    start = simulator.look("/clock")["now"]
    rows = simulator.look("/behaviour/fan/purchases", start=start, until=start + 200 * DAY)["purchases"]
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    for person in behaviour.people():
        times = [row["at"] for row in rows if row["person"] == person]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert 5 <= len(times) <= 10
        assert all(abs(gap - behaviour.cycle(person)) < 1 for gap in gaps)
        assert 20 * DAY <= behaviour.cycle(person) <= 40 * DAY
        # a span looked at in two halves gives the same purchases
        half = start + 91.5 * DAY
        assert times == pytest.approx(
            behaviour.purchases(person, start, half) + behaviour.purchases(person, half, start + 200 * DAY)
        )
    cycles = {person: behaviour.cycle(person) for person in behaviour.people()}
    phases = [behaviour.purchases(person, 0, 50 * DAY)[0] / cycle for person, cycle in cycles.items()]
    assert min(phases) < 0.1  # and they do not all begin on one day
    assert max(phases) > 0.9
    assert re.fullmatch(r"1\d{10}", rows[0]["phone"])


def test_customers_of_a_corp_react_too(simulator):
    crowd = {"prefix": "fan", "count": 12, "behaviour": {"seed": "spring", "open": 1.0, "leave": 0.5, "reply": 0.5}}
    simulator.control("/world", {**WORLD, "crowds": [crowd]})
    corp = {"corpid": CORP, "crowds": [{"prefix": "fan", "count": 12, "staff": ["guide01"]}]}
    simulator.control("/world", {"corps": [corp]})
    wecom = WeCom(simulator)
    msgid = wecom.good("/add_msg_template", {"sender": "guide01", "text": {"content": "新品"}})["msgid"]
    assert wecom.staff("guide01", "confirm_mass", msgid=msgid)["counts"] == {"1": 12}
    done = simulator.control("/behaviour/fan/react", {"appid": CORP})
    expected = simulator.look("/behaviour/fan")["expected"]
    assert (len(done["left"]), len(done["replied"])) == (expected["leaves"], expected["replies"])
    assert 0 < expected["leaves"] < 12
    left = wecom.get("/externalcontact/list", userid="guide01")["external_userid"]
    assert len(left) == 12 - expected["leaves"]


def test_behaviour_survives_a_restart(simulator, crowd, tmp_path):
    from wechat_simulator.simulation import Simulation

    behaviour = crowd(cycle_low=3.0, cycle_high=5.0)
    simulator.sim.save(tmp_path)
    again = Simulation()
    assert again.restore(tmp_path) is True
    assert again.crowds.known == {"fan": behaviour}
    assert simulator.get("/_sim/behaviour/nobody").status_code == 404
    wrong = {"crowds": [{"prefix": "fan", "count": 1, "behaviour": {"luck": 1}}]}
    assert simulator.http.post(simulator.url + "/_sim/world", json=wrong, timeout=9).status_code == 400
