"""How channels appear on pages."""

from touchpoints.on_screen.benefits import NOTHING, benefit_choices, chosen_pair
from touchpoints.on_screen.meters import code_meters
from touchpoints.on_screen.options import DAYS, Options, read_options, window_label
from touchpoints.on_screen.pages import MOST_LINES, Pages
from touchpoints.on_screen.reach import in_reach, reachable_ids
from touchpoints.on_screen.reports import RowLinks, cohort_lines, figure_keys, funnel, path_of_text, value_lines
from touchpoints.on_screen.tree import (
    Cell,
    Facts,
    Line,
    Place,
    Places,
    cells,
    more_below,
    nodes_of,
    opened,
    scoped_whole,
    tree_lines,
)
from touchpoints.on_screen.words import (
    ailment_label,
    ailment_text,
    case_label,
    kind_of,
    opened_from,
    sent_by,
    state_of,
)

__all__ = [
    "DAYS",
    "MOST_LINES",
    "NOTHING",
    "Cell",
    "Facts",
    "Line",
    "Options",
    "Pages",
    "Place",
    "Places",
    "RowLinks",
    "ailment_label",
    "ailment_text",
    "benefit_choices",
    "case_label",
    "cells",
    "chosen_pair",
    "code_meters",
    "cohort_lines",
    "figure_keys",
    "funnel",
    "in_reach",
    "kind_of",
    "more_below",
    "nodes_of",
    "opened",
    "opened_from",
    "path_of_text",
    "reachable_ids",
    "read_options",
    "scoped_whole",
    "sent_by",
    "state_of",
    "tree_lines",
    "value_lines",
    "window_label",
]
