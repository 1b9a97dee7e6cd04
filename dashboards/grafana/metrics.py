"""What docs/metrics.md says: which metrics there are, of which type, with which labels."""

import pathlib
import re

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \| ")
DETAIL = "One device in detail"


def read():
    """Rows of (section, name, type, labels)."""
    section, rows = "", []
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif found := ROW.match(line):
            name, kind, labels = found.groups()
            rows.append((section, name, kind, set(re.findall(r"`(\w+)`", labels))))
    if len(rows) < 20:
        raise SystemExit(f"{MANUAL}: only {len(rows)} metrics were found: have its tables changed?")
    return rows


def of_devices():
    """The metrics that are there for each device: at /metrics, and at /metrics/devices/{device}."""
    rows = read()
    everywhere = {name for section, name, _, labels in rows if "device" in labels and section != DETAIL}
    return everywhere, {name for section, name, _, _ in rows if section == DETAIL}


def series():
    """Each name that a query may use → the metric that it is of."""
    names = {}
    for _, name, kind, _ in read():
        endings = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        names.update({name + ending: name for ending in endings})
    return names


def labels():
    """Each metric → its labels, those of histograms with `le`."""
    found = {}
    for _, name, kind, labels in read():
        found.setdefault(name, set()).update(labels | ({"le"} if kind == "histogram" else set()))
    return found
