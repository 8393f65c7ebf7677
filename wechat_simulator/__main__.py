"""Command line: ``python -m wechat_simulator``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from wechat_simulator.clock import DEFAULT_START, Clock, parse_moment
from wechat_simulator.http_client import is_loopback
from wechat_simulator.serving import make_server
from wechat_simulator.simulation import STATE_FILE, Simulation
from wechat_simulator.switches import Switches
from wechat_simulator.world import DEFAULT_SEED

logger = logging.getLogger("wechat_simulator")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="wechat_simulator", description="A stand-in for WeChat's servers on loopback."
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=int(os.environ.get("ZHIYIN_SIMULATOR_PORT", "8002")))
    parser.add_argument("--world", type=Path, action="append", default=[], help="JSON file to merge at the start")
    parser.add_argument("--state-dir", type=Path, default=None, help="restore from here, save here on exit")
    parser.add_argument("--seed", default=DEFAULT_SEED)
    parser.add_argument("--start", default=None, help="simulated start, ISO (Asia/Shanghai) or epoch seconds")
    parser.add_argument("--rate", type=float, default=1.0, help="simulated seconds per real second")
    parser.add_argument("--switch", action="append", default=[], metavar="NAME=JSON", help="set a switch")
    parser.add_argument("--log-level", default="warning")
    return parser.parse_args(argv)


def make_simulation(options: argparse.Namespace) -> Simulation:
    """World, clock and switches as asked for."""
    start = DEFAULT_START
    if options.start is not None:
        start = float(options.start) if options.start.replace(".", "", 1).isdecimal() else parse_moment(options.start)
    switches = Switches()
    for item in options.switch:
        name, _, value = item.partition("=")
        switches.change({name: json.loads(value)})
    sim = Simulation(seed=options.seed, clock=Clock(start, options.rate), switches=switches)
    if options.state_dir is not None:
        try:
            sim.restore(options.state_dir)
        except (ValueError, KeyError, TypeError):
            logger.exception("the state file cannot be read; it is set aside and the world starts anew")
            damaged = options.state_dir / STATE_FILE
            damaged.replace(damaged.with_suffix(".damaged"))
            sim = Simulation(seed=options.seed, clock=Clock(start, options.rate), switches=switches)
    for path in options.world:
        sim.merge_world(json.loads(path.read_text(encoding="utf-8")))
    return sim


def main(argv: list[str] | None = None) -> int:
    """Run until a signal."""
    options = arguments(argv)
    logging.basicConfig(level=options.log_level.upper())
    if not is_loopback(options.host):
        sys.stderr.write("the simulator listens on loopback only\n")
        return 2
    sim = make_simulation(options)
    sys.stdout.write(f"wechat_simulator on http://{options.host}:{options.port}\n")
    sys.stdout.flush()
    make_server(sim, options.host, options.port, state_dir=options.state_dir, log_level=options.log_level).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
