"""Every failpoint that the product declares, found in its source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "accounts",
    "campaigns",
    "conversations",
    "coupons",
    "guides",
    "members",
    "stores",
    "touchpoints",
    "wechat_gateway",
)
# Those of these apps are died at by tests of their own.
ELSEWHERE = ("imports", "inbox", "library", "loyalty", "referrals", "welcomes")
DIED_AT_BY = (
    "tests/accounts/test_key_rotation.py::test_killed_at_a_point_it_goes_on_for_every_brand_and_none_gets_two_keys",
    "tests/campaigns/test_news.py::test_killed_anywhere_nobody_is_told_twice_and_nothing_is_lost",
    "tests/campaigns/test_news.py::test_killed_while_a_report_is_settled_the_next_worker_settles_it",
    "tests/imports/test_batches.py::test_killed_anywhere_every_row_counts_once",
    "tests/imports/test_export.py::test_a_worker_killed_before_it_commits_leaves_one_whole_list",
    "tests/inbox/test_resolving.py::test_pieces_are_small_and_a_crash_between_line_and_state_leaves_neither",
    "tests/inbox/test_retention.py::test_a_worker_killed_between_lines_and_files_leaves_files_that_nobody_knows",
    "tests/inbox/test_sending.py::test_a_worker_killed_around_a_send_sends_at_most_once_and_says_so",
    "tests/inbox/test_told_news.py::test_killed_after_telling_nobody_is_told_twice",
    "tests/library/test_copies.py::test_a_worker_killed_before_it_records_is_made_up_for_at_both_ends",
    "tests/loyalty/test_birthdays.py::test_a_worker_killed_anywhere_gives_once",
    "tests/loyalty/test_ledger.py::test_a_worker_that_dies_before_the_commit_has_posted_nothing_and_the_next_one_posts_once",
    "tests/referrals/test_rewards.py::test_worker_that_dies_gives_and_takes_once",
    "tests/welcomes/test_running.py::test_a_worker_that_dies_before_the_commit_has_done_nothing",
    "tests/wechat_gateway/test_rotation.py::test_killed_ten_times_it_goes_on_and_nobody_reads_less",
)
# There nobody dies: tests/inbox/test_media.py erases the person meanwhile.
SOMETHING_ELSE_MEANWHILE = {"attachment: fetched, not noted"}


def declared(packages=PACKAGES):
    """Name of each point → where it stands. A name that is not written out, or stands twice, is a mistake."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if "point(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "point":
                    (name,) = [argument.value for argument in node.args]
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    assert name not in found, f"{name}: {where} and {found[name]}"
                    found[name] = where
    return found


# These stand in the gateway's event loop; the simulation of the inbox passes them.
IN_THE_GATEWAY = "intake: "
# Commands that somebody of the installation runs: tests/wechat_gateway/test_rotation.py and
# tests/accounts/test_key_rotation.py die at them again and again.
BY_HAND = ("master key: ", "data key: ")
