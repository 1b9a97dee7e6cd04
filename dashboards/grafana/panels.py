"""What is on the dashboards.

A dashboard has rows: a title, and lines of panels that stand side by side. A panel's text says what it shows and what is
good. What is missing without series by device is added to it by itself, and so is `instance=~"$instance"` to every metric.
"""

from grafana import (
    DEVICE,
    ONE_DEVICE,
    SITE,
    Dashboard,
    choice,
    heat,
    high,
    lines,
    low,
    none_is_good,
    quantile,
    quantiles,
    stat,
    table,
)

FLEET, ONE, CALLS, COMMANDS, EVENTS, DELIVERIES, RUNTIME, RECORDS = (
    f"switchroom-{name}"
    for name in ("fleet", "device", "calls", "commands", "events", "deliveries", "runtime", "records")
)
SILENCE = choice(
    "silence",
    "Silent after",
    [("30 minutes", "1800"), ("5 minutes", "300"), ("10 minutes", "600"), ("1 hour", "3600"), ("1 day", "86400")],
    "After so long without a report a device counts as silent; model.silence_seconds is 30 minutes by default.",
)
KEEP = "${__url_time_range}&${datasource:queryparam}&${instance:queryparam}"
# From a series of a device, and from a cell with its id, to its dashboard.
SERIES_TO_DEVICE = {"title": "This device", "url": f"/d/{ONE}?var-device=${{__field.labels.device}}&{KEEP}"}
CELL_TO_DEVICE = {"title": "This device", "url": f"/d/{ONE}?var-device=${{__value.text}}&{KEEP}"}
YES_NO = [{"type": "value", "options": {"0": {"text": "no", "index": 0}, "1": {"text": "yes", "index": 1}}}]
UP_DOWN = [{"type": "value", "options": {"0": {"text": "down", "index": 0}, "1": {"text": "up", "index": 1}}}]
TEXT = {"type": "color-text"}

# Pieces of queries. $__rate_interval is for lines, $__range for one number.
NOW, RANGE = "$__rate_interval", "$__range"


def here(expr):
    """Of series with a device: those at the sites."""
    return f'({expr} and on (instance, device) switchroom_device_info{{site=~"$site"}})'


def chosen(expr):
    """Of series with a device: those that are chosen, at the sites."""
    return f'({expr} and on (instance, device) switchroom_device_info{{site=~"$site", device=~"$device"}})'


def each(expr):
    """One series for each device at the sites, from however many places it is scraped."""
    return f"max by (device) {here(expr)}"


def top(expr):
    """The ten devices with the most."""
    return [(f"topk(10, {expr})", "{{device}}")]


def no_site(expr):
    """By site, those without one under a name."""
    return f'label_replace({expr}, "site", "no site", "site", "")'


def increase(metric, over=RANGE):
    return f"sum(increase({metric}[{over}]))"


def rate(metric, by="", over=NOW):
    labels = f" by ({by})" if by else ""
    return f"sum{labels} (rate({metric}[{over}]))"


def share(part, whole, over, by=""):
    """No data while there is no whole."""
    return f"{rate(part, by, over)} / ({rate(whole, by, over)} > 0)"


def bad_share(part, whole, over):
    """0 while there is no whole: of what should not happen."""
    return f"{increase(part, over)} / clamp_min({increase(whole, over)}, 1)"


def loss(over):
    """What did not come, of all that should have."""
    gaps, taken = increase("switchroom_gaps_total", over), increase('switchroom_reports_total{outcome="accepted"}', over)
    return f"{gaps} / clamp_min({gaps} + {taken}, 1)"


def mean(metric, over, by=""):
    return share(f"{metric}_sum", f"{metric}_count", over, by)


UP = here("switchroom_device_up")
AGE = here("(time() - switchroom_device_last_report_timestamp_seconds)")
EACH_AGE = f"max by (device) {AGE}"
BOOTS = here(f"increase(switchroom_device_boots_total[{RANGE}])")
SKEW = "switchroom_device_clock_skew_seconds"
AWAY = here('switchroom_device_trunks{state=~"offline|unwired"}')
EACH_AWAY = f"sum by (device) (max by (device, state) {AWAY})"
INFO = 'switchroom_device_info{site=~"$site"}'
INFO_IF_UP = f"{INFO} * on (instance, device) group_left max by (instance, device) (switchroom_device_up)"

fleet = Dashboard(
    FLEET,
    "Switchroom: Fleet",
    "All devices: who is there, what is lost, what extensions and trunks do.",
    [
        (
            "Now",
            [
                stat("All devices", "How many devices there are at these sites.", "short", f"count({UP})"),
                stat("Up", "The share of devices that are heard of. 100 % is good; what was never heard of, or does not answer, is down.", "percentunit", f"avg({UP})", high(0.9, 0.99), max=1),
                stat("Silent", "Devices whose last report is older than `Silent after`. None is good; at night a small device may have nothing to say.", "short", f"sum({AGE} > bool $silence)", none_is_good()),
                stat("Oldest report", "How long ago the most silent device reported. Minutes are good by day.", "s", f"max({AGE})", low(1800, 7200)),
                stat("Loss", "Reports that must have been missed, of all that should have come, in the time that is shown, at all sites. Below 0.1 % is good.", "percentunit", loss(RANGE), low(0.001, 0.01), to=EVENTS, decimals=2),
                stat("Boots", "Starts that devices reported in the time that is shown. None is good, but for maintenance.", "short", f"sum({BOOTS})", low(1, 5), decimals=0),
                stat("Worst clock", "How far the worst device's clock is from ours. Below a minute is good: times in call records are the device's. Only devices that sign have one.", "s", f"max(abs({here(SKEW)}))", low(60, 300)),
                stat("Breakers open", "Devices that are asked nothing because they were silent. None is good.", "short", f"sum({here('switchroom_command_breaker_open')})", none_is_good(), to=COMMANDS),
            ],
        ),
        (
            "Devices",
            [
                table(
                    "Devices",
                    "Every device at these sites; its id leads to its own dashboard. Good: up, a young last report, no boot, no trunk away, no open breaker. Model and firmware are empty until the device was asked.",
                    ["device", "site", "dialect", "model", "firmware"],
                    [
                        ("", f"max by (device, site, dialect, model, firmware) ({INFO})", {}),
                        ("Up", f"max by (device) {UP}", {"mappings": UP_DOWN, "custom__cellOptions": TEXT, "thresholds": high(1, 1)}),
                        ("Last report", EACH_AGE, {"unit": "s", "custom__cellOptions": TEXT, "thresholds": low(1800, 7200)}),
                        ("Boots", f"max by (device) {BOOTS}", {"decimals": 0, "custom__cellOptions": TEXT, "thresholds": low(1, 5)}),
                        ("Clock", each(SKEW), {"unit": "s"}),
                        ("Trunks away", EACH_AWAY, {"custom__cellOptions": TEXT, "thresholds": none_is_good()}),
                        ("Waiting commands", each("switchroom_command_queue_depth"), {}),
                        ("Breaker open", each("switchroom_command_breaker_open"), {"mappings": YES_NO, "custom__cellOptions": TEXT, "thresholds": none_is_good()}),
                    ],
                    by="device",
                    sort={"desc": True, "displayName": "Last report"},
                    link=CELL_TO_DEVICE,
                ),
            ],
            [
                lines("Up and silent", "Devices by how they are. All should be `up`.", "short", [(f"sum({UP})", "up"), (f"count({UP}) - sum({UP})", "down"), (f"sum({AGE} > bool $silence)", "silent")]),
                lines("Age of the last report", "Of the ten most silent devices. A line that only rises is a device that is away.", "s", top(EACH_AGE), low(1800, 7200), link=SERIES_TO_DEVICE),
                lines("Loss over time", "Reports that must have been missed, of all that should have come, at all sites. Near 0 is good.", "percentunit", [(loss(NOW), "lost")], low(0.001, 0.01), to=EVENTS),
            ],
            [
                lines("Boots over time", "Starts that the ten devices with the most reported. One that starts again and again has bad power or bad firmware.", "short", top(each(f"increase(switchroom_device_boots_total[{NOW}])")), low(1, 5), link=SERIES_TO_DEVICE, decimals=0),
                lines("Clocks", "How far devices' clocks are from ours, the ten worst. Below a minute is good. Only devices that sign have one.", "s", top(f"abs({each(SKEW)})"), low(60, 300), link=SERIES_TO_DEVICE),
                lines("Logins to Yeastars", "Devices that are logged in to, of those that are meant to be. The two should be equal. No data where none is meant to be.", "short", [(f"count({here('switchroom_device_logged_in')})", "wanted"), (f"sum({here('switchroom_device_logged_in')})", "logged in")]),
            ],
            [
                table("Firmware", "How many devices have which firmware. One row for each model is good; empty means not asked yet.", ["dialect", "model", "firmware"], [("Devices", f"count by (dialect, model, firmware) ({INFO})", {})], sort={"desc": True, "displayName": "Devices"}, height=8),
                table("Sites", "How many devices stand where, and how many of them are up. The two should be equal.", ["site"], [("Devices", no_site(f"count by (site) ({INFO})"), {}), ("Up", no_site(f"sum by (site) ({INFO_IF_UP})"), {})], by="site", height=8),
            ],
        ),
        (
            "Extensions and trunks, of all sites",
            [
                lines("Extensions", "Extensions by state, of all sites. `offline` that grows is telephones without network; `unknown` should shrink after the start.", "short", [("sum by (state) (switchroom_extensions)", "{{state}}")], stack=True, to=CALLS),
                lines("Trunks", "Trunks by state, of all sites. `offline` and `unwired` should be 0, and some should be `ready`.", "short", [("sum by (state) (switchroom_trunks)", "{{state}}")], stack=True, to=CALLS),
                lines("Trunks away", "Trunks that are offline or not wired, of the ten devices with the most. None is good.", "short", top(EACH_AWAY), none_is_good(), link=SERIES_TO_DEVICE),
            ],
        ),
    ],
    [SITE, SILENCE],
)

MINE = '{device="$device"}'
device = Dashboard(
    ONE,
    "Switchroom: Device",
    "One device: its link, its commands, and its extensions, trunks, calls and queues if it is scraped in detail.",
    [
        (
            "The device",
            [
                stat("What it is", "Its site and dialect, and the model and firmware that it says it has.", "short", [(f"switchroom_device_info{MINE}", "{{site}} {{dialect}} {{model}} {{firmware}}")], text="name", width=6),
                stat("Up", "Whether the device is heard of.", "short", f"max(switchroom_device_up{MINE})", high(1, 1), mappings=UP_DOWN),
                stat("Last report", "How long ago its last report came. Minutes are good by day.", "s", f"min(time() - switchroom_device_last_report_timestamp_seconds{MINE})", low(1800, 7200)),
                stat("Boots", "Starts that it reported in the time that is shown. None is good, but for maintenance.", "short", f"max(increase(switchroom_device_boots_total{MINE}[{RANGE}]))", low(1, 3), decimals=0),
                stat("Clock", "How far its clock is ahead of ours; negative: behind. Within a minute is good. No data for a device that does not sign.", "s", f"max({SKEW}{MINE})", min=None),
                stat("Logged in", "Whether it is logged in to. No data for a device that is not meant to be: only Yeastars are.", "short", f"max(switchroom_device_logged_in{MINE})", high(1, 1), mappings=YES_NO),
                stat("Breaker open", "Whether it is asked nothing because it was silent. `no` is good.", "short", f"max(switchroom_command_breaker_open{MINE})", none_is_good(), mappings=YES_NO, to=COMMANDS),
                stat("Waiting commands", "Commands that wait for their turn. A few are good; many mean that it is slow or silent.", "short", f"max(switchroom_command_queue_depth{MINE})", low(10, 100), to=COMMANDS),
            ],
        ),
        (
            "Its telephones and lines",
            [
                lines("Extensions", "Its extensions by state. `offline` should be 0.", "short", [(f"max by (state) (switchroom_device_extensions{MINE})", "{{state}}")], stack=True),
                lines("Trunks", "Its trunks by state. `offline` and `unwired` should be 0, and some should be `ready`.", "short", [(f"max by (state) (switchroom_device_trunks{MINE})", "{{state}}")], stack=True),
                lines("Calls", "Its live calls by direction. What never ends should be looked at.", "short", [(f"max by (direction) (switchroom_device_calls{MINE})", "{{direction}}")], stack=True, to=CALLS),
            ],
            [
                table("Extensions now", "Each extension and its state.", ["extension", "state"], [("", f"max by (extension, state) (switchroom_extension_state{MINE})", {})], sort={"desc": False, "displayName": "extension"}),
                lines("Waiting callers", "Callers that wait, by the device's own queue. Few, and none for long, is good.", "short", [(f"max by (queue_id) (switchroom_group_waiting{MINE})", "{{queue_id}}")], low(5, 10), to=CALLS, height=10),
            ],
        ),
        (
            "Its link",
            [
                lines("Age of the last report", "How long it said nothing. A line that only rises is a device that is away.", "s", [(f"min by (device) (time() - switchroom_device_last_report_timestamp_seconds{MINE})", "{{device}}")], low(1800, 7200), to=FLEET),
                lines("Boots over time", "Starts that it reported. None is good, but for maintenance.", "short", [(f"max by (device) (increase(switchroom_device_boots_total{MINE}[{NOW}]))", "{{device}}")], low(1, 3), decimals=0),
                lines("Commands over time", "Commands that wait for their turn, and whether its breaker is open (1). 0 is good.", "short", [(f"max(switchroom_command_queue_depth{MINE})", "waiting"), (f"max(switchroom_command_breaker_open{MINE})", "breaker open")], to=COMMANDS),
            ],
        ),
    ],
    [SITE, ONE_DEVICE],
)

ENDED = "switchroom_calls_total"
ANSWERED = 'switchroom_calls_total{outcome="answered"}'
ACTIVE_TRUNKS, USABLE = 'sum(switchroom_trunks{state="active"})', 'sum(switchroom_trunks{state=~"active|ready"})'
WAITED = 'switchroom_queue_wait_seconds_count{outcome=~"answered|abandoned"}'
IN_TIME = 'switchroom_queue_wait_seconds_bucket{outcome="answered", le="20"}'
GAVE_UP = 'switchroom_queue_wait_seconds_count{outcome="abandoned"}'
calls = Dashboard(
    CALLS,
    "Switchroom: Calls and queues",
    "What becomes of calls, how long they take, whether trunks suffice, and how long callers wait. All devices, but for the callers by site.",
    [
        (
            "Calls",
            [
                stat("Active calls", "Live calls now.", "short", "sum(switchroom_calls_active)"),
                stat("Calls", "Calls that ended in the time that is shown.", "short", increase(ENDED), decimals=0),
                stat("Answer-seizure ratio", "Answered calls of all that ended, in the time that is shown. Above 60 % is usual; a sudden drop is a broken trunk or an empty desk. No data without calls.", "percentunit", share(ANSWERED, ENDED, RANGE), high(0.4, 0.6), max=1),
                stat("Average call duration", "Mean time from answer to end, in the time that is shown. A sudden drop is bad audio. No data without calls.", "s", mean("switchroom_call_talk_seconds", RANGE)),
                stat("Failed calls", "Calls that ended as failed, of all, in the time that is shown. Below 2 % is good.", "percentunit", bad_share('switchroom_calls_total{outcome="failed"}', ENDED, RANGE), low(0.02, 0.1), decimals=1),
                stat("Peak of trunks", "The most trunks that were in use at once in the time that is shown, of all usable. Below 80 % is good: then a call still finds a trunk.", "percentunit", f"max_over_time(({ACTIVE_TRUNKS} / ({USABLE} > 0))[{RANGE}:$__interval])", low(0.8, 0.95), max=1, to=FLEET),
            ],
            [
                lines("Active calls by direction", "Live calls by direction.", "short", [("sum by (direction) (switchroom_calls_active)", "{{direction}}")], stack=True),
                lines("Ended calls by outcome", "Calls a second that ended, by what became of them. Mostly `answered` is good; `failed` should be rare.", "cps", [(rate(ENDED, "outcome"), "{{outcome}}")], stack=True),
                lines("Trunks in use and usable", "Trunks in use against those that are usable. If the two meet, calls are refused.", "short", [(ACTIVE_TRUNKS, "in use"), (USABLE, "usable"), (f"max_over_time({ACTIVE_TRUNKS}[1h:$__interval])", "peak of an hour")], to=FLEET),
            ],
            [
                lines("Answer-seizure ratio by direction", "Answered calls of all that ended. Steady is good. Gaps where no call ended.", "percentunit", [(share(ANSWERED, ENDED, NOW, "direction"), "{{direction}}")], high(0.4, 0.6), max=1),
                lines("Average call duration by direction", "Mean time from answer to end. Steady is good. Gaps where no call ended.", "s", [(mean("switchroom_call_talk_seconds", NOW, "direction"), "{{direction}}")]),
                lines("Time to answer", "From a call's first report to its answer. Below 20 s is good. Gaps without calls.", "s", quantiles("switchroom_call_answer_seconds"), low(20, 60)),
            ],
            [
                lines("Time to ringing", "From a call's first report to its first ringing. Below 5 s is good; more is a slow trunk. Gaps without calls.", "s", quantiles("switchroom_call_setup_seconds", of=(0.5, 0.95)), low(5, 15)),
                heat("How long people talk", "Calls by how long they were talked in. A new cluster of very short ones is bad audio.", "switchroom_call_talk_seconds"),
            ],
        ),
        (
            "Queues",
            [
                stat("Waiting callers", "Callers that wait in queues at these sites now. Few is good.", "short", 'sum(switchroom_queue_waiting{site=~"$site"})', low(5, 20)),
                stat("Service level 80/20", "Callers in queues that were answered within 20 s, of all that were answered or gave up, in the time that is shown. 80 % is the usual aim. No data without callers.", "percentunit", share(IN_TIME, WAITED, RANGE), high(0.6, 0.8), max=1),
                stat("Abandoned", "Callers that gave up in a queue, of all that were answered or gave up, in the time that is shown. Below 5 % is good.", "percentunit", bad_share(GAVE_UP, WAITED, RANGE), low(0.05, 0.1)),
                stat("Average wait", "Mean wait in queues in the time that is shown. Below 20 s is good. No data without callers.", "s", mean("switchroom_queue_wait_seconds", RANGE), low(20, 60)),
            ],
            [
                lines("Waiting callers by site", "Callers that wait in queues, by site; devices without one are together under `no site`. Few, and none for long, is good.", "short", [(no_site('sum by (site) (switchroom_queue_waiting{site=~"$site"})'), "{{site}}")], stack=True),
                lines("Service level over time", "Callers that were answered within 20 s, of all that were answered or gave up. Above 80 % is good. Gaps without callers.", "percentunit", [(share(IN_TIME, WAITED, NOW), "within 20 s")], high(0.6, 0.8), max=1),
                lines("Left the queue by outcome", "Callers a second that left a queue, by how. `abandoned` should be few.", "cps", [(rate("switchroom_queue_wait_seconds_count", "outcome"), "{{outcome}}")], stack=True),
            ],
            [
                lines("Wait until the answer", "How long those who were answered waited. Below 20 s is good. Gaps without callers.", "s", quantiles('switchroom_queue_wait_seconds{outcome="answered"}'), low(20, 60)),
                heat("How long callers wait", "Callers by how long they waited, whatever became of them. Dark below 20 s is good.", "switchroom_queue_wait_seconds"),
            ],
        ),
    ],
    [SITE],
)

DONE = "switchroom_command_duration_seconds_count"
OK = 'switchroom_command_duration_seconds_count{outcome="succeeded"}'
OM = "switchroom_om_endpoint_requests_total"
OM_BAD = 'switchroom_om_endpoint_requests_total{outcome=~"failed|denied|unauthorized|misunderstood|refused"}'
commands = Dashboard(
    COMMANDS,
    "Switchroom: Commands",
    "What devices are told to do: how it waits, how long it takes, and what becomes of it. By site and device where a panel shows devices.",
    [
        (
            "Commands",
            [
                stat("Commands", "Commands that settled in the time that is shown.", "short", increase(DONE), decimals=0),
                stat("Not succeeded", "Commands that failed, or of which it is not known, of all in the time that is shown. Below 5 % is good: some telephones are busy.", "percentunit", bad_share('switchroom_command_duration_seconds_count{outcome!="succeeded"}', DONE, RANGE), low(0.05, 0.2), decimals=1),
                stat("Not known", "Commands of which it is not known whether they were done, in the time that is shown. None is good: the device or its network broke off.", "short", increase('switchroom_command_duration_seconds_count{outcome=~"unknown|succeeded"}') + " - " + increase(OK), none_is_good(), decimals=0),
                stat("Wait, p95", "How long 95 % of commands waited at most for their turn. Below 0.5 s is good. No data without commands.", "s", quantile(0.95, "switchroom_command_queue_seconds"), low(0.5, 2.5)),
                stat("Duration, p95", "How long 95 % of commands took the device at most. Below 1 s is good; the devices' own deadline is 5 s. No data without commands.", "s", quantile(0.95, "switchroom_command_duration_seconds"), low(1, 5)),
                stat("Waiting now", "Commands that wait for their turn. A few are good.", "short", f"sum({chosen('switchroom_command_queue_depth')})", low(20, 200)),
                stat("Breakers open", "Devices that are asked nothing because they were silent. None is good.", "short", f"sum({chosen('switchroom_command_breaker_open')})", none_is_good(), to=FLEET),
            ],
            [
                lines("Commands by outcome", "Commands a second that settled, by what became of them. `unknown` should be 0.", "cps", [(rate(DONE, "outcome"), "{{outcome}}")], stack=True),
                lines("Wait for the turn", "How long commands waited for their turn. Below 0.5 s is good. Gaps without commands.", "s", quantiles("switchroom_command_queue_seconds"), low(0.5, 2.5)),
                lines("Duration", "How long commands took the device. Below 1 s is good. Gaps without commands.", "s", quantiles("switchroom_command_duration_seconds"), low(1, 5)),
            ],
            [
                table(
                    "Commands by name",
                    "Each command that was given in the time that is shown. Good: all succeeded, and below a second.",
                    ["command"],
                    [
                        ("Settled", f"sum by (command) (increase({DONE}[{RANGE}])) > 0", {"decimals": 0}),
                        ("Succeeded", share(OK, DONE, RANGE, "command"), {"unit": "percentunit", "custom__cellOptions": TEXT, "thresholds": high(0.8, 0.95)}),
                        ("Average wait", mean("switchroom_command_queue_seconds", RANGE, "command"), {"unit": "s"}),
                        ("Average duration", mean("switchroom_command_duration_seconds", RANGE, "command"), {"unit": "s", "custom__cellOptions": TEXT, "thresholds": low(1, 5)}),
                    ],
                    by="command",
                    sort={"desc": True, "displayName": "Settled"},
                    height=8,
                ),
                heat("How long commands take", "Commands by how long they took the device. All below 1 s is good; 5 s is a device that did not answer.", "switchroom_command_duration_seconds"),
            ],
            [
                lines("Waiting by device", "Commands that wait, of the ten devices with the most. One that stands out is slow or silent.", "short", top(f"max by (device) {chosen('switchroom_command_queue_depth')}"), low(10, 100), link=SERIES_TO_DEVICE),
                lines("Breakers by device", "Devices whose breaker is open (1), ten of them. None is good.", "short", top(f"max by (device) {chosen('switchroom_command_breaker_open')}"), none_is_good(), link=SERIES_TO_DEVICE),
            ],
        ),
        (
            "OM endpoint",
            [
                lines("Requests by outcome", "Requests of OM applications a second, by what became of them. Mostly `answered` is good; `unauthorized` is an application that is not configured.", "reqps", [(rate(OM, "outcome"), "{{outcome}}")], stack=True),
                lines("Not answered", "Requests that failed or were refused, of all. Below 5 % is good.", "percentunit", [(bad_share(OM_BAD, OM, NOW), "not answered")], low(0.05, 0.2)),
            ],
        ),
    ],
    [SITE, DEVICE],
)

REPORTS = "switchroom_reports_total"
REFUSED = 'switchroom_reports_total{outcome=~"unauthorized|malformed|shed"}'
PUBLISH, COMMIT, DELIVERY = (
    "switchroom_report_publish_seconds",
    "switchroom_store_commit_seconds",
    "switchroom_event_delivery_seconds",
)
events = Dashboard(
    EVENTS,
    "Switchroom: Event path",
    "From a device's report to the subscriber, stage by stage. All devices.",
    [
        (
            "At a glance",
            [
                stat("Reports", "Messages from devices a second, in the time that is shown.", "reqps", rate(REPORTS, over=RANGE), decimals=1),
                stat("Refused", "Reports that were unauthorized, malformed or shed, of all in the time that is shown. 0 is good.", "percentunit", bad_share(REFUSED, REPORTS, RANGE), low(0.001, 0.01), decimals=2),
                stat("Missed", "Reports that must have been missed in the time that is shown. Few, and those repaired, is good.", "short", increase("switchroom_gaps_total"), low(1, 100), decimals=0),
                stat("Published within 50 ms", "Reports whose events were published within 50 ms, of all in the time that is shown. Above 99 % is good. No data without reports.", "percentunit", share('switchroom_report_publish_seconds_bucket{le="0.05"}', f"{PUBLISH}_count", RANGE), high(0.95, 0.99), max=1, decimals=1),
                stat("Publish, p99", "How long 99 % of reports took at most until their events were published. Below 50 ms is good. No data without reports.", "s", quantile(0.99, PUBLISH), low(0.05, 0.5)),
                stat("Commit, p99", "How long 99 % of commits took at most. Below 25 ms is good; more is a slow disk or database.", "s", quantile(0.99, COMMIT), low(0.025, 0.25)),
                stat("Delivered, p95", "How long after an event 95 % of deliveries were made at most. Below 0.5 s is good. No data without subscribers.", "s", quantile(0.95, DELIVERY), low(0.5, 2.5), to=DELIVERIES),
            ],
        ),
        (
            "1. Reports come in",
            [
                lines("Reports by outcome", "Messages from devices a second, by what became of them. All `accepted` is good; `duplicate` is harmless, `unadopted` waits for adoption, `shed` is overload.", "reqps", [(rate(REPORTS, "outcome"), "{{outcome}}")], stack=True),
                lines("Reports by kind", "The ten most frequent kinds of reports, a second. A kind that vanishes is a switch that was turned off at devices.", "reqps", [(f"topk(10, {rate(REPORTS, 'dialect, kind')})", "{{dialect}} {{kind}}")]),
                lines("Reports by dialect", "Messages from devices a second, by the vendor's dialect. `unknown` could not be read.", "reqps", [(rate(REPORTS, "dialect"), "{{dialect}}")], stack=True),
            ],
            [
                lines("Connections", "Connections from devices that are open. Steady is good; a limit is `reports.limits.connections`.", "short", [("sum by (instance) (switchroom_ingress_connections)", "{{instance}}")]),
                lines("Ended by a limit", "Connections and requests a second that a limit ended. 0 is good.", "cps", [(rate("switchroom_ingress_refused_total", "reason"), "{{reason}}")]),
                lines("Unadopted and not kept", "Reports of unadopted devices a second that were not kept, because there are too many senders. 0 is good.", "cps", [(rate("switchroom_unadopted_reports_dropped_total"), "not kept")]),
            ],
        ),
        (
            "2. They are understood",
            [
                lines("Gaps by outcome", "Reports a second that must have been missed: seen and open, or repaired by asking the device. Near 0 is good.", "cps", [(rate("switchroom_gaps_total", "outcome"), "{{outcome}}")], to=FLEET),
                lines("Gaps by kind", "Reports a second that must have been missed, by how that was seen. Near 0 is good.", "cps", [(rate("switchroom_gaps_total", "kind"), "{{kind}}")]),
                lines("Messages that wait", "Reports before devices, and records before the writer of the store. Near 0 is good; what grows is overload.", "short", [("sum by (actor) (switchroom_mailbox_depth)", "{{actor}}")], low(1000, 10000), to=RUNTIME),
            ],
        ),
        (
            "3. Their events are published",
            [
                heat("From the last byte to publication", "Reports by how long they took. All below 50 ms is good.", PUBLISH),
                lines("Publication", "How long reports took from the last byte to the publication of their events. p99 below 50 ms is good. Gaps without reports.", "s", quantiles(PUBLISH), low(0.05, 0.5)),
                lines("Publication by dialect, p99", "The same for each dialect. Gaps without reports.", "s", quantiles(PUBLISH, "dialect", of=(0.99,)), low(0.05, 0.5)),
            ],
        ),
        (
            "4. They are on disk",
            [
                heat("Commits", "Commits by how long they took. All below 25 ms is good.", COMMIT),
                lines("Duration of commits", "How long a batch took to be on disk. p99 below 25 ms is good.", "s", quantiles(COMMIT), low(0.025, 0.25)),
                lines("Commits a second", "Batches that were committed. Fewer commits at the same number of reports is bigger batches, which is good under load.", "cps", [(rate(f"{COMMIT}_count"), "commits")]),
            ],
        ),
        (
            "5. Subscribers have them",
            [
                heat("From event to subscriber", "Deliveries by how long after the event they were made. All below 0.5 s is good.", DELIVERY, to=DELIVERIES),
                lines("Delivery by transport, p95", "How long after an event 95 % of subscribers had it. Below 0.5 s is good. Gaps without subscribers.", "s", quantiles(DELIVERY, "transport", of=(0.95,)), low(0.5, 2.5), to=DELIVERIES),
                lines("Deliveries a second", "Deliveries by transport; of streams each batch counts once.", "cps", [(rate(f"{DELIVERY}_count", "transport"), "{{transport}}")]),
                lines("Event streams", "Event streams that are open. Steady is good.", "short", [("sum by (transport) (switchroom_event_clients)", "{{transport}}")], stack=True),
            ],
        ),
    ],
)

LOST = '{outcome=~"failed|gap"}'
deliveries = Dashboard(
    DELIVERIES,
    "Switchroom: Deliveries",
    "What is passed on to others: events to webhooks, reports to targets, and call records by forwarding.",
    [
        (
            "At a glance",
            [
                stat("Webhooks: given up", "Events that were given up or left the log undelivered, in the time that is shown. 0 is good.", "short", increase(f"switchroom_webhook_deliveries_total{LOST}"), none_is_good(), decimals=0),
                stat("Webhooks: disabled", "How often a webhook was disabled because of its receiver, in the time that is shown. 0 is good.", "short", increase('switchroom_webhook_deliveries_total{outcome="disabled"}'), none_is_good(), decimals=0),
                stat("Webhooks: worst lag", "How long ago the oldest event happened that a webhook has open. Seconds are good. No data without webhooks.", "s", "max(switchroom_webhook_lag_seconds)", low(60, 3600)),
                stat("Targets: all lost", "Reports that targets lost since they were made. 0 is good. No data without targets.", "short", "sum(switchroom_target_lost)", none_is_good()),
                stat("Targets: worst lag", "How long ago the oldest report came in that a target has open. Seconds are good. No data without targets.", "s", "max(switchroom_target_lag_seconds)", low(60, 3600)),
                stat("Forwarding: lost", "Reports that were given up, or left the log, before they were forwarded, in the time that is shown. 0 is good.", "short", increase(f"switchroom_cdr_forwarding_total{LOST}"), none_is_good(), decimals=0),
                stat("Forwarding: worst lag", "How long ago the oldest report came in that is open in the forwarding. Seconds are good.", "s", "max(switchroom_cdr_forwarding_lag_seconds)", low(60, 3600), to=RECORDS),
            ],
        ),
        (
            "Webhooks: events",
            [
                lines("Webhooks by outcome", "Attempts a second, by what became of them. Only `delivered` is good; `retried` is a receiver that fails.", "cps", [(rate("switchroom_webhook_deliveries_total", "outcome"), "{{outcome}}")], stack=True, to=EVENTS),
                lines("Webhooks: one attempt", "How long one attempt took. p95 below 1 s is good; at 15 s it is ended. Gaps without events.", "s", quantiles("switchroom_webhook_delivery_seconds"), low(1, 10)),
                lines("From event to webhook", "From the event until a receiver took it, whatever attempts that needed. p95 below 1 s is good. Gaps without events.", "s", quantiles('switchroom_event_delivery_seconds{transport="webhook"}'), low(1, 5), to=EVENTS),
            ],
            [
                lines("Webhooks: pending", "Events that each webhook has open. Near 0 is good; at 10,000 the rest waits in the log. No data without webhooks.", "short", [("max by (webhook) (switchroom_webhook_pending)", "{{webhook}}")], low(1000, 10000)),
                lines("Webhooks: lag", "How long ago the oldest event happened that each webhook has open. Seconds are good. No data without webhooks.", "s", [("max by (webhook) (switchroom_webhook_lag_seconds)", "{{webhook}}")], low(60, 3600)),
            ],
        ),
        (
            "Targets: devices' reports",
            [
                lines("Targets by outcome", "Attempts a second, by what became of them. Only `delivered` is good.", "cps", [(rate("switchroom_target_deliveries_total", "outcome"), "{{outcome}}")], stack=True),
                lines("Targets: one attempt", "How long one attempt took. p95 below 1 s is good; at 5 s it is ended. Gaps without reports.", "s", quantiles("switchroom_target_delivery_seconds"), low(1, 5)),
                heat("Targets: attempts", "Attempts by how long they took. All below 1 s is good.", "switchroom_target_delivery_seconds"),
            ],
            [
                lines("Targets: pending", "Reports that each target has open. Near 0 is good; at 10,000 the rest waits in the log. No data without targets.", "short", [("max by (target) (switchroom_target_pending)", "{{target}}")], low(1000, 10000)),
                lines("Targets: lag", "How long ago the oldest report came in that each target has open; while it is disabled, since when. Seconds are good. No data without targets.", "s", [("max by (target) (switchroom_target_lag_seconds)", "{{target}}")], low(60, 3600)),
                lines("Targets: lost", "Reports that were too old, or left the log, before each target took them, since it was made. 0 is good. No data without targets.", "short", [("max by (target) (switchroom_target_lost)", "{{target}}")], none_is_good()),
            ],
        ),
        (
            "Forwarding: call records",
            [
                lines("Forwarding by outcome", "Attempts a second, by what became of them. `delivered` is good, and `kept` if records go to files; `failed` and `gap` are losses.", "cps", [(rate("switchroom_cdr_forwarding_total", "outcome"), "{{outcome}}")], stack=True, to=RECORDS),
                lines("Forwarding: pending", "Reports that are open in the forwarding. Near 0 is good.", "short", [("sum(switchroom_cdr_forwarding_pending)", "pending")], low(100, 10000)),
                lines("Forwarding: lag", "How long ago the oldest report came in that is open in the forwarding. Seconds are good.", "s", [("max(switchroom_cdr_forwarding_lag_seconds)", "lag")], low(60, 3600)),
            ],
        ),
    ],
)

OWN = "on (instance) group_left max by (instance) (switchroom_build_info)"


def own(metric):
    """Of what other programs have as well: what Switchroom has."""
    return f"({metric} * {OWN})"


runtime = Dashboard(
    RUNTIME,
    "Switchroom: Service",
    "The program itself: what was built, its actors, memory, processors and files.",
    [
        (
            "The program",
            [
                table("Builds", "Which version runs where. One version is good, but while a new one is brought out.", ["instance", "version", "revision"], [("", "max by (instance, version, revision) (switchroom_build_info)", {})], height=5, width=8),
                stat("Up since", "How long ago the process began. What is always young dies and is started again. No data where there is no `/proc`.", "s", f"min(time() - {own('process_start_time_seconds')})", height=5),
                stat("Restarted actors", "Actors and tasks that died and were rebuilt, in the time that is shown. 0 is good.", "short", increase("switchroom_actor_restarts_total"), none_is_good(), decimals=0, height=5),
                stat("File descriptors", "Open file descriptors, of those that may be open. Below 70 % is good. No data where there is no `/proc`.", "percentunit", f"max({own('process_open_fds')} / {own('process_max_fds')})", low(0.7, 0.9), height=5),
                stat("Messages that wait", "Reports before devices, and records before the writer of the store. Near 0 is good.", "short", "sum(switchroom_mailbox_depth)", low(1000, 10000), to=EVENTS, height=5),
            ],
        ),
        (
            "Actors",
            [
                lines("Actors", "Actors that live, by kind. `call_leg` follows the calls; what only grows is a leak.", "short", [("sum by (kind) (switchroom_actors)", "{{kind}}")]),
                lines("Restarts", "Actors and tasks that died and were rebuilt. 0 is good; the log says why.", "short", [(f"sum by (actor) (increase(switchroom_actor_restarts_total[{NOW}]))", "{{actor}}")], none_is_good()),
                lines("Mailboxes", "Messages that wait: `device` reports, `store` records. Near 0 is good.", "short", [("sum by (actor) (switchroom_mailbox_depth)", "{{actor}}")], low(1000, 10000), to=EVENTS),
            ],
        ),
        (
            "The process; no data where there is no /proc",
            [
                lines("Memory", "Memory of the process. Resident should level off.", "bytes", [(own("process_resident_memory_bytes"), "{{instance}} resident"), (own("process_virtual_memory_bytes"), "{{instance}} virtual")]),
                lines("Processors", "How many processors the process uses. Well below what the machine has is good.", "short", [(own(f"rate(process_cpu_seconds_total[{NOW}])"), "{{instance}}")], decimals=2),
                lines("Threads", "Threads of the process. Steady is good.", "short", [(own("process_threads"), "{{instance}}")]),
            ],
            [
                lines("Open files", "File descriptors that are open, and how many may be. Far apart is good; each connection needs one.", "short", [(own("process_open_fds"), "{{instance}} open"), (own("process_max_fds"), "{{instance}} may be open")]),
                lines("Commits, p99", "How long 99 % of commits took at most. Below 25 ms is good.", "s", quantiles(COMMIT, "instance", of=(0.99,)), low(0.025, 0.25), to=EVENTS),
            ],
        ),
    ],
)

TRIES = "switchroom_recordings_total"
records = Dashboard(
    RECORDS,
    "Switchroom: Records",
    "Call records and recordings: what is stored, forwarded, fetched and removed with age.",
    [
        (
            "At a glance",
            [
                stat("Records", "Call records that were stored in the time that is shown.", "short", increase("switchroom_cdrs_total"), decimals=0),
                stat("Records for a call", "Records that were stored for each call that ended, in the time that is shown. 1 or more is good: below it records are lost. No data without calls.", "short", share("switchroom_cdrs_total", ENDED, RANGE), high(0.7, 0.95), decimals=2, to=CALLS),
                stat("Recordings missing", "Recordings that were given up, in the time that is shown. 0 is good.", "short", increase('switchroom_recordings_total{outcome="missing"}'), none_is_good(), decimals=0),
                stat("Recordings pending", "Recordings that wait for a try, or are being fetched. What only grows is a device that is away.", "short", "sum(switchroom_recordings_pending)", low(100, 1000)),
                stat("Fetched", "Bytes of recordings that were fetched in the time that is shown.", "bytes", increase("switchroom_recording_bytes_total")),
                stat("Forwarding: pending", "Reports that are open in the forwarding. Near 0 is good.", "short", "sum(switchroom_cdr_forwarding_pending)", low(100, 10000), to=DELIVERIES),
            ],
        ),
        (
            "Records",
            [
                lines("Records by type", "Call records a second that were stored, by the vendor's own type.", "cps", [(rate("switchroom_cdrs_total", "type"), "{{type}}")], stack=True),
                lines("Forwarding by outcome", "Attempts a second to forward records. `delivered` is good, and `kept` if records go to files; `failed` and `gap` are losses.", "cps", [(rate("switchroom_cdr_forwarding_total", "outcome"), "{{outcome}}")], stack=True, to=DELIVERIES),
                lines("Forwarding: lag", "How long ago the oldest report came in that is open in the forwarding. Seconds are good.", "s", [("max(switchroom_cdr_forwarding_lag_seconds)", "lag")], low(60, 3600), to=DELIVERIES),
            ],
        ),
        (
            "Recordings; all 0 while recordings.enabled is false",
            [
                lines("Tries by outcome", "Tries a second to fetch a recording. `available` is good, `failed` is tried again, `missing` was the last try.", "cps", [(rate(TRIES, "outcome"), "{{outcome}}")], stack=True),
                lines("Failed tries", "Tries that failed or were the last, of all. Below 5 % is good.", "percentunit", [(bad_share('switchroom_recordings_total{outcome=~"failed|missing"}', TRIES, NOW), "failed")], low(0.05, 0.3)),
                lines("Fetched bytes", "Bytes a second of recordings that were fetched.", "Bps", [(rate("switchroom_recording_bytes_total"), "fetched")]),
                lines("Pending", "Recordings that wait for a try, or are being fetched. Near 0 is good.", "short", [("sum(switchroom_recordings_pending)", "pending")], low(100, 1000)),
            ],
        ),
        (
            "Retention",
            [
                lines("Removed with age", "What was removed in each interval because of its age, by kind. A little at all times is good; 0 while nothing is old enough.", "short", [(f"sum by (kind) (increase(switchroom_retention_removed_total[{NOW}]))", "{{kind}}")], stack=True),
            ],
        ),
    ],
)

DASHBOARDS = [fleet, device, calls, commands, events, deliveries, runtime, records]
