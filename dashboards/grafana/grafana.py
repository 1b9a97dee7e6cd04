"""How a panel, a variable and a dashboard are written for Grafana. What is on them stands in `panels.py`."""

import re

# Grafana 11.
SCHEMA = 39
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Devices, whether /metrics tells of each of them (metrics.per_device) or they are scraped in detail.
DEVICES = '{__name__=~"switchroom_device_info|switchroom_device_calls", instance=~"$instance"%s}'
NO_DEVICES = "No data with `metrics.per_device = false`."
NO_DETAIL = "No data unless devices are scraped in detail (README)."
NEITHER = "No data with `metrics.per_device = false`, unless devices are scraped in detail (README)."
# What is green, blue, … wherever a series is named after a state or an outcome.
COLOURS = {
    "green": "accepted|answered|available|delivered|idle|ready|repaired|succeeded|up",
    "blue": "active|busy|duplicate|kept|preflight",
    "yellow": "abandoned|no_answer|retried|ringing|unadopted|open",
    "orange": "denied|missing|misunderstood|refused|shed|unwired",
    "red": "disabled|down|failed|gap|malformed|offline|unauthorized",
    "text": "unknown",
}


class Dashboard:
    """A dashboard: rows of panels, each as wide as there is room for."""

    def __init__(self, uid, title, about, rows, variables=()):
        self.uid, self.title, self.about, self.rows, self.variables = uid, title, about, rows, variables

    def json(self, titles, metrics):
        """As Grafana reads it. `titles`: of all dashboards by uid; `metrics`: those of each device, and in detail."""
        panels, y = [], 0
        for title, *lines in self.rows:
            panels.append(row(title, len(panels) + 1, y))
            y += 1
            for line in lines:
                height = max(panel["height"] for panel in line)
                x = 0
                for at, panel in enumerate(line):
                    width = panel["width"] or (24 - x) // sum(1 for _ in line[at:])
                    position = {"h": height, "w": width, "x": x, "y": y}
                    panels.append(finish(panel, len(panels) + 1, position, titles, metrics))
                    x += width
                y += height
        return {
            "annotations": {"list": ANNOTATIONS},
            "description": self.about,
            "editable": True,
            "graphTooltip": 1,
            "links": [
                {
                    "asDropdown": True,
                    "icon": "external link",
                    "includeVars": True,
                    "keepTime": True,
                    "tags": ["switchroom"],
                    "title": "Switchroom",
                    "type": "dashboards",
                }
            ],
            "panels": panels,
            "refresh": "30s",
            "schemaVersion": SCHEMA,
            "tags": ["switchroom"],
            "templating": {"list": [DATASOURCES, INSTANCE, *self.variables]},
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
        }


def instances(expr):
    """The query with each metric limited to `$instance`."""

    def limited(found):
        return found[1] + '{instance=~"$instance"' + (", " if found[2] else "}")

    return re.sub(r"\b((?:switchroom|process)_[a-z_]+)\b(\{)?", limited, expr)


def row(title, number, y):
    return {
        "collapsed": False,
        "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        "id": number,
        "panels": [],
        "title": title,
        "type": "row",
    }


def finish(panel, number, position, titles, metrics):
    """The panel as it stands in the JSON."""
    exprs = " ".join(query["expr"] for query in panel["json"]["targets"])
    names = set(re.findall(r"\bswitchroom_[a-z_]+", exprs))
    about = [panel["about"]]
    # A panel that has another query than those of devices is not empty without them.
    of_devices, in_detail = metrics
    if names and names <= of_devices & in_detail:
        about.append(NEITHER)
    elif names & in_detail - of_devices:
        about.append(NO_DETAIL)
    elif names & of_devices:
        about.append(NO_DEVICES)
    links = [
        {"title": titles[uid], "url": f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}"} for uid in panel["to"]
    ]
    return {
        **panel["json"],
        "datasource": DATASOURCE,
        "description": " ".join(about),
        "gridPos": position,
        "id": number,
        "links": links,
    }


# Thresholds.


def low(warn, bad):
    """Low is good."""
    return steps(("green", None), ("orange", warn), ("red", bad))


def high(bad, warn):
    """High is good: red below `bad`, orange below `warn`."""
    return steps(("red", None), ("orange", bad), ("green", warn))


def none_is_good(warn=1):
    """Anything above nothing wants looking at."""
    return steps(("green", None), ("red", warn))


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in pairs]}


# Panels. `queries` is a query, or pairs of a query and the name of what it gives.


def target(expr, legend, at, **more):
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": instances(expr),
        "legendFormat": legend or "__auto",
        "refId": chr(ord("A") + at),
        **more,
    }


def targets(queries, **more):
    if isinstance(queries, str):
        queries = [(queries, "")]
    return [target(expr, legend, at, **more) for at, (expr, legend) in enumerate(queries)]


def panel(kind, title, about, unit, queries, options, *, good=None, to=(), width=None, height, min=0, more=None, **field):
    if not about:
        raise ValueError(f"{title}: say what it shows and what is good")
    defaults = {"unit": unit, **field}
    if min is not None:
        defaults["min"] = min
    if good:
        defaults["thresholds"] = good
    json = {
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": queries,
        "title": title,
        "type": kind,
        **(more or {}),
    }
    return {"json": json, "about": about, "to": [to] if isinstance(to, str) else to, "width": width, "height": height}


def stat(title, about, unit, queries, good=None, **more):
    """One number as it is now, or over the time that is looked at."""
    options = {
        "colorMode": "value" if good else "none",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": more.pop("text", "auto"),
    }
    nothing = {"type": "special", "options": {"match": "null+nan", "result": {"text": "–", "index": 0}}}
    mappings = [*more.pop("mappings", []), nothing]
    more.setdefault("height", 4)
    found = targets(queries, instant=True, range=False)
    return panel("stat", title, about, unit, found, options, good=good, mappings=mappings, **more)


def lines(title, about, unit, queries, good=None, stack=False, link=None, **more):
    """Lines over time, or areas on top of each other. `link`: a link of each series."""
    custom = {
        "drawStyle": "line",
        "fillOpacity": 40 if stack else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "thresholdsStyle": {"mode": "dashed" if good else "off"},
    }
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more.setdefault("height", 8)
    found = targets(queries, range=True)
    made = panel("timeseries", title, about, unit, found, options, good=good, custom=custom, **more)
    field = made["json"]["fieldConfig"]
    field["defaults"]["color"] = {"mode": "palette-classic"}
    if link:
        field["defaults"]["links"] = [link]
    if {"{{state}}", "{{outcome}}"} & {query["legendFormat"] for query in found}:
        field["overrides"] = [
            override("byRegexp", f"/^({names})$/", color={"mode": "fixed", "fixedColor": color})
            for color, names in COLOURS.items()
        ]
    return made


def heat(title, about, metric, **more):
    """How many took how long."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64, "reverse": True, "exponent": 0.5, "scale": "exponential", "fill": "dark-orange"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": "s"},
    }
    name, selector = re.fullmatch(r"(\w+)(\{.*\})?", metric).groups()
    expr = f"sum by (le) (increase({name}_bucket{selector or ''}[$__rate_interval]))"
    more.setdefault("height", 8)
    found = targets([(expr, "{{le}}")], range=True, format="heatmap")
    return panel("heatmap", title, about, "s", found, options, **more)


def table(title, about, labels, columns, by=None, sort=None, link=None, unit="short", **more):
    """A table: `labels` of the first query, joined `by` one of them with the values of the others.

    Each column is (name, query, field settings); the column of a query without a name is not shown.
    """
    found = targets([(expr, "") for _, expr, _ in columns], instant=True, range=False, format="table")
    values = [f"Value #{query['refId']}" if len(found) > 1 else "Value" for query in found]
    shown = {value: name for value, (name, _, _) in zip(values, columns) if name}
    order = {name: at for at, name in enumerate([*labels, *shown])}
    transformations = [
        {"id": "filterFieldsByName", "options": {"include": {"names": list(order)}}},
        {"id": "organize", "options": {"excludeByName": {}, "indexByName": order, "renameByName": shown}},
    ]
    if by:
        transformations.insert(0, {"id": "joinByField", "options": {"byField": by, "mode": "outer"}})
    options = {"cellHeight": "sm", "showHeader": True, "sortBy": [sort] if sort else []}
    more.setdefault("height", 10)
    made = panel("table", title, about, unit, found, options, min=None, more={"transformations": transformations}, **more)
    overrides = made["json"]["fieldConfig"]["overrides"]
    overrides += [override("byName", name, **settings) for name, _, settings in columns if name and settings]
    if link:
        overrides.append(override("byName", by, links=[link]))
    return made


def override(matcher, what, **properties):
    return {
        "matcher": {"id": matcher, "options": what},
        "properties": [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()],
    }


# Queries.


def quantiles(metric, by="", of=(0.5, 0.95, 0.99), over="$__rate_interval"):
    """Pairs of a quantile and its name. `by`: a label that each has its own for."""
    name, selector = re.fullmatch(r"(\w+)(\{.*\})?", metric).groups()
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({name}_bucket{selector or ''}[{over}]))"
    named = f"{{{{{by}}}}} " if by else ""
    return [(f"histogram_quantile({share}, {rate})", f"{named}p{share * 100:g}") for share in of]


def quantile(share, metric, over="$__range"):
    """One quantile, of all that the histogram has."""
    return quantiles(metric, of=(share,), over=over)[0][0]


# Variables and annotations, the same on all dashboards.


def variable(name, label, query, about, many=True, all_value=".*"):
    everything = {"text": ["All"], "value": ["$__all"]} if many else {}
    made = {
        "current": everything,
        "datasource": DATASOURCE,
        "definition": query,
        "description": about,
        "hide": 0,
        "includeAll": many,
        "label": label,
        "multi": many,
        "name": name,
        "options": [],
        "query": {"query": query, "refId": "variable"},
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }
    if many and all_value:
        made["allValue"] = all_value
    return made


DATASOURCES = {
    "current": {},
    "description": "The Prometheus that scrapes Switchroom.",
    "hide": 0,
    "includeAll": False,
    "label": "Data source",
    "multi": False,
    "name": "datasource",
    "options": [],
    "query": "prometheus",
    "refresh": 1,
    "regex": "",
    "type": "datasource",
}
# Without a value of its own for all: process_* is what other programs have as well.
INSTANCE = variable(
    "instance", "Instance", "label_values(switchroom_build_info, instance)", "The servers, as they are scraped.", all_value=None
)
SITE = variable(
    "site", "Site", f"label_values({DEVICES % ''}, site)", "Where devices stand. Devices without a site are among all."
)
AT_SITE = ', site=~"$site"'
DEVICE = variable("device", "Device", f"label_values({DEVICES % AT_SITE}, device)", "Devices at these sites.")
ONE_DEVICE = variable("device", "Device", DEVICE["definition"], "The device.", many=False)


def choice(name, label, values, about):
    """A variable with some values to choose from, the first by itself."""
    options = [{"selected": at == 0, "text": text, "value": value} for at, (text, value) in enumerate(values)]
    return {
        "current": options[0],
        "description": about,
        "hide": 0,
        "includeAll": False,
        "label": label,
        "multi": False,
        "name": name,
        "options": options,
        "query": ", ".join(f"{text} : {value}" for text, value in values),
        "type": "custom",
    }


def annotation(name, color, expr, title, text, tags):
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "name": name,
        "tagKeys": tags,
        "target": {"expr": instances(expr), "interval": "", "refId": "Anno"},
        "textFormat": text,
        "titleFormat": title,
        "useValueForTime": False,
    }


ANNOTATIONS = [
    annotation(
        "Boots of devices",
        "orange",
        "changes(switchroom_device_boots_total[$__rate_interval]) > 0",
        "Boot",
        "{{device}} has started",
        "device",
    ),
    annotation(
        "Starts of Switchroom",
        "purple",
        "changes(process_start_time_seconds[$__rate_interval]) > 0",
        "Start of Switchroom",
        "{{instance}} was started",
        "instance",
    ),
    annotation(
        "Deployments",
        "blue",
        "max by (instance, version, revision) (switchroom_build_info)"
        " unless max by (instance, version, revision) (switchroom_build_info offset $__rate_interval)"
        " and on (instance) max by (instance) (switchroom_build_info offset $__rate_interval)",
        "Deployment",
        "{{instance}} runs {{version}} ({{revision}})",
        "instance,version",
    ),
]
