"""Changes to welcome sequences, and running them."""

from welcomes.services.running import enrol, forget_enrolments, look_up, note_act, quiet_of, run_due, sweep
from welcomes.services.sequences import save_sequence

__all__ = ["enrol", "forget_enrolments", "look_up", "note_act", "quiet_of", "run_due", "save_sequence", "sweep"]
