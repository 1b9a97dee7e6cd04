//! The table. Where the manual's own ids cannot be (a device numbers its callers itself) they are those of the device;
//! its trunk 50017 is 889 here, its line `IPPhone 50` is `IPPhone 10`.

use super::Row;
use super::Step::{self, Api, Asked, CallIn, Send, Set, Until};

/// All rows.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    QUERY.iter().chain(ASSIGN).chain(CONTROL).chain(CONNECT).chain(QUEUE).chain(MANAGE).chain(PARAMETERS)
}

const DONE: &str = r#"{"kind": "done"}"#;

// What makes rows possible.

/// 200 talks to 208.
const TALK: &[Step] = &[
    Send(r#"{"command": "connect", "from": {"extension": "200"}, "to": {"extension": "208"}}"#),
    Until(r#"{"calls": [{"from": "200", "to": "208", "state": "talking"}]}"#),
];
/// 200 has put its call on hold.
const HELD: &[Step] =
    &[Send(r#"{"command": "hold", "extension": "200"}"#), Until(r#"{"calls": [{"held": true}]}"#)];
/// 201 listens to the talk of 208.
const MONITORED: &[Step] = &[
    Send(r#"{"command": "monitor", "extension": "201", "target": "208"}"#),
    Until(r#"{"calls": [{}, {"watches": "208", "state": "talking"}]}"#),
];
/// 200 talks to an outside party that it has called.
const OUTSIDE_TALK: &[Step] = &[
    Send(r#"{"command": "connect", "from": {"extension": "200"}, "to": {"number": "13012345678"}}"#),
    Until(r#"{"calls": [{"direction": "outbound", "state": "talking"}]}"#),
];
/// A caller waits to be let in (2.4).
const INVITED: &[Step] =
    &[Api(0x17), Set("API_RESPONSE_TO", "120"), CallIn("888"), Until(r#"{"calls": [{"state": "invited"}]}"#)];
/// A caller was let in, and waits for the application to say where it goes.
const INCOMING: &[Step] =
    &[Set("API_RESPONSE_TO", "120"), CallIn("888"), Until(r#"{"calls": [{"state": "incoming"}]}"#)];
/// The caller talks to 200.
const ANSWERED: &[Step] = &[
    Send(r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"extension": "200"}}"#),
    Until(r#"{"calls": [{"visitor": {visitor}, "state": "talking"}]}"#),
];
/// While 200 and 208 talk, a caller comes.
const ONE_MORE: &[Step] = &[
    Set("API_RESPONSE_TO", "120"),
    CallIn("888"),
    Until(r#"{"calls": [{"state": "talking"}, {"state": "incoming"}]}"#),
];
/// Group 7 is 200 and 208.
const GROUP: &[Step] = &[Send(
    r#"{"command": "assign_group", "group": 7, "members": ["200", "208"], "distribution": "sequential", "voice_file": "NewMorning"}"#,
)];
/// Menu 1.
const MENU: &[Step] = &[Send(
    r##"{"command": "assign_menu", "menu": 1, "voice_file": "welcome", "repeat": 3, "info_length": 5, "exit": "#"}"##,
)];
/// Outside parties may be joined.
const OUTSIDE_ALLOWED: &[Step] = &[Set("API_OUTBOUND_TRANSFER", "1")];
/// 212 talks to 213.
const TALK_212: &[Step] = &[
    Send(r#"{"command": "connect", "from": {"extension": "212"}, "to": {"extension": "213"}}"#),
    Until(r#"{"calls": [{"from": "212", "to": "213", "state": "talking"}]}"#),
];
/// 212 has put that call on hold.
const HELD_212: &[Step] =
    &[Send(r#"{"command": "hold", "extension": "212"}"#), Until(r#"{"calls": [{"held": true}]}"#)];
/// And talks to 214.
const TALK_214: &[Step] = &[
    Send(r#"{"command": "connect", "from": {"extension": "212"}, "to": {"extension": "214"}}"#),
    Until(r#"{"calls": [{"held": true}, {"from": "212", "to": "214", "state": "talking"}]}"#),
];

const QUERY: &[Row] = &[
    Row {
        chapter: "2.1.1.1",
        title: "the device",
        command: r#"{"command": "query", "target": {"device": true}}"#,
        before: &[&[Set("API_MAC", "yes")], GROUP],
        wire: &[r#"<Control attribute="Query"><DeviceInfo/></Control>"#],
        reply: r#"{"kind": "device", "manufacturer": "New Rock Technologies, Inc", "model": "Rev 6.0.0 OM20-20S/4",
            "version": "Rev 2.1.5.124", "extensions": [{"line_id": "Phone 1", "number": "200"}, {"line_id": "IPPhone 2"}, "…"],
            "trunks": [{"line_id": "IPLine 21", "number": "888"}, {}, {"line_id": "Line 23", "number": "02161208234"}, {}],
            "groups": [{"group": 1}, {"group": 2}, {"group": 7, "members": ["200", "208"]}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.1",
        title: "all extensions are in the device's own answer",
        command: r#"{"command": "query", "target": {"extension": null}}"#,
        before: &[],
        wire: &[r#"<Control attribute="Query"><DeviceInfo/></Control>"#],
        reply: r#"{"kind": "device", "mac": null, "extensions": [{"number": "200"}, "…"]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.1",
        title: "all trunks are in the device's own answer",
        command: r#"{"command": "query", "target": {"trunk": null}}"#,
        before: &[],
        wire: &[r#"<Control attribute="Query"><DeviceInfo/></Control>"#],
        reply: r#"{"kind": "device", "trunks": [{"number": "888"}, "…"]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.2",
        title: "an extension with its settings and whom it talks to",
        command: r#"{"command": "query", "target": {"extension": "209"}}"#,
        before: &[&[
            Send(
                r#"{"command": "assign_extension", "line_id": "IPPhone 10", "settings": {"staff_id": "1304081",
                    "mobile": "18603752800", "groups": [1, 2], "voice_file": "welcome", "email": "admin@hotmail.com",
                    "call_restriction": 3, "call_pickup": true, "forward": {"type": "off", "number": "18603752801"},
                    "fork": "18603752802", "record": true, "api": 7}}"#,
            ),
            Send(r#"{"command": "connect", "from": {"extension": "209"}, "to": {"number": "13012345678"}}"#),
            Until(r#"{"calls": [{"state": "talking"}]}"#),
        ]],
        wire: &[r#"<Control attribute="Query"><ext id="209"/></Control>"#],
        reply: r#"{"kind": "status", "extensions": [{"number": "209", "line_id": "IPPhone 10", "state": "active",
            "settings": {"staff_id": "1304081", "mobile": "18603752800", "groups": [1, 2], "voice_file": "welcome",
                "email": "admin@hotmail.com", "call_restriction": 3, "call_pickup": true,
                "forward": {"type": "off", "number": "18603752801"}, "fork": "18603752802", "record": true, "api": 7},
            "with": [{"kind": "outer", "id": "{outer}", "from": "209", "to": "13012345678", "trunk": "888",
                "callid": "{callid}", "state": "talk"}]}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.3",
        title: "a trunk with a caller on it",
        command: r#"{"command": "query", "target": {"trunk": "02161208234"}}"#,
        before: &[
            &[
                Set("API_RESPONSE_TO", "120"),
                CallIn("02161208234"),
                Until(r#"{"calls": [{"state": "incoming"}]}"#),
            ],
            ANSWERED,
        ],
        wire: &[r#"<Control attribute="Query"><trunk id="02161208234"/></Control>"#],
        reply: r#"{"kind": "status", "trunks": [{"number": "02161208234", "line_id": "Line 23", "state": "active",
            "with": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "02161208234",
                "callid": "{callid}", "state": "talk"}]}]}"#,
        after: &[Until(r#"{"trunks": {"02161208234": "active", "888": "ready"}}"#)],
    },
    Row {
        chapter: "2.1.1.4",
        title: "a caller and whom it talks to",
        command: r#"{"command": "query", "target": {"visitor": "{visitor}"}}"#,
        before: &[INCOMING, ANSWERED],
        wire: &[r#"<Control attribute="Query"><visitor id="{visitor}"/></Control>"#],
        reply: r#"{"kind": "status", "visitors": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888",
            "callid": "{callid}", "state": "talk", "with": [{"kind": "extension", "id": "200"}]}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.4",
        title: "all callers",
        command: r#"{"command": "query", "target": {"visitor": null}}"#,
        before: &[
            INCOMING,
            &[CallIn("889"), Until(r#"{"calls": [{"state": "incoming"}, {"state": "incoming"}]}"#)],
        ],
        wire: &[r#"<Control attribute="Query"><visitor id=""/></Control>"#],
        reply: r#"{"kind": "status", "visitors": [{"id": "{first_visitor}", "to": "888", "state": "progress"},
            {"id": "{visitor}", "to": "889", "state": "progress"}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.5",
        title: "an outside party that was called",
        command: r#"{"command": "query", "target": {"outer": "{outer}"}}"#,
        before: &[OUTSIDE_TALK],
        wire: &[r#"<Control attribute="Query"><outer id="{outer}"/></Control>"#],
        reply: r#"{"kind": "status", "outers": [{"kind": "outer", "id": "{outer}", "from": "200", "to": "13012345678",
            "trunk": "888", "callid": "{callid}", "state": "talk"}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.5",
        title: "all outside parties that were called",
        command: r#"{"command": "query", "target": {"outer": null}}"#,
        before: &[OUTSIDE_TALK],
        wire: &[r#"<Control attribute="Query"><outer id=""/></Control>"#],
        reply: r#"{"kind": "status", "outers": [{"id": "{outer}", "to": "13012345678"}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.6",
        title: "a ring group with two who wait",
        command: r#"{"command": "query", "target": {"group": "7"}}"#,
        before: &[
            GROUP,
            TALK,
            ONE_MORE,
            &[
                Send(r#"{"command": "queue", "visitor": "{visitor}", "to": {"group": 7}}"#),
                CallIn("889"),
                Until(r#"{"calls": [{"state": "talking"}, {"state": "queued"}, {"state": "incoming"}]}"#),
                Send(r#"{"command": "queue", "visitor": "{visitor}", "to": {"group": 7}}"#),
            ],
        ],
        wire: &[r#"<Control attribute="Query"><group id="7"/></Control>"#],
        reply: r#"{"kind": "status", "groups": [{"group": 7, "members": ["200", "208"], "voice_file": "NewMorning",
            "distribution": "sequential", "waiting": [
                {"kind": "visitor", "id": "{first_visitor}", "from": "13012345678", "to": "888"},
                {"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "889"}]}]}"#,
        after: &[Until(r#"{"queues": {"12": ["13012345678", "13012345678"]}}"#)],
    },
    Row {
        chapter: "2.1.1.6",
        title: "all ring groups",
        command: r#"{"command": "query", "target": {"group": null}}"#,
        before: &[GROUP],
        wire: &[r#"<Control attribute="Query"><group id=""/></Control>"#],
        reply: r#"{"kind": "status", "groups": [{"group": 1}, {"group": 2}, {"group": 7, "members": ["200", "208"]}]}"#,
        after: &[],
    },
    Row {
        chapter: "2.1.1.7",
        title: "a menu with two who hear it",
        command: r#"{"command": "query", "target": {"menu": "1"}}"#,
        before: &[
            MENU,
            OUTSIDE_TALK,
            &[
                Send(r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"menu": 1}}"#),
                Set("API_RESPONSE_TO", "120"),
                CallIn("888"),
                Until(r#"{"calls": [{"state": "in_menu"}, {"state": "incoming"}]}"#),
                Send(r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"menu": 1}}"#),
            ],
        ],
        wire: &[r#"<Control attribute="Query"><menu id="1"/></Control>"#],
        reply: r##"{"kind": "status", "menus": [{"menu": 1, "voice_file": "welcome", "repeat": 3, "info_length": 5, "exit": "#",
            "with": [{"kind": "outer", "id": "{outer}", "to": "13012345678"},
                {"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888"}]}]}"##,
        after: &[],
    },
    Row {
        chapter: "2.1.1.7",
        title: "all menus",
        command: r#"{"command": "query", "target": {"menu": null}}"#,
        before: &[MENU],
        wire: &[r#"<Control attribute="Query"><menu id=""/></Control>"#],
        reply: r#"{"kind": "status", "menus": [{"menu": 1, "voice_file": "welcome", "with": []}]}"#,
        after: &[],
    },
];

const ASSIGN: &[Row] = &[
    Row {
        chapter: "2.1.2.1",
        title: "everything that an extension can be told",
        command: r#"{"command": "assign_extension", "line_id": "IPPhone 10", "settings": {"id": "309", "staff_id": "1304081",
            "mobile": "18603752800", "email": "admin@hotmail.com", "groups": [1, 2], "voice_file": "busy",
            "call_restriction": 3, "call_pickup": false, "do_not_disturb": true,
            "forward": {"type": "busy_or_no_answer", "number": "18603752801"}, "fork": "18603752802", "wake_up": "06:30",
            "record": true, "auto_answer": true, "api": 7}}"#,
        before: &[],
        wire: &[
            r#"<Control attribute="Assign"><ext lineid="IPPhone 10"><id>309</id><staffid>1304081</staffid><mobile>18603752800</mobile><group>1</group><group>2</group><voicefile>busy</voicefile><email>admin@hotmail.com</email><Call_Restriction>3</Call_Restriction><Call_Pickup>no</Call_Pickup><No_Disturb>on</No_Disturb><Fwd_Type>2</Fwd_Type><Fwd_Number>18603752801</Fwd_Number><Fork>18603752802</Fork><WAKEUP>06:30</WAKEUP><record>on</record><autoAnswer>yes</autoAnswer><api>7</api></ext></Control>"#,
        ],
        reply: r#"{"kind": "status", "extensions": [{"number": "309", "settings": {"id": "309", "staff_id": "1304081",
            "mobile": "18603752800", "email": "admin@hotmail.com", "groups": [1, 2], "voice_file": "busy",
            "call_restriction": 3, "call_pickup": false, "do_not_disturb": true,
            "forward": {"type": "busy_or_no_answer", "number": "18603752801"}, "fork": "18603752802", "wake_up": "06:30",
            "record": true, "auto_answer": true, "api": 7}}]}"#,
        after: &[Until(
            r#"{"extensions": {"309": "idle", "209": null}, "groups": {"1": ["219", "218", "309"], "2": ["217", "215", "309"]},
            "settings": {"309": {"No_Disturb": "on", "Fwd_Type": "2", "Fwd_Number": "18603752801", "WAKEUP": "06:30"}}}"#,
        )],
    },
    Row {
        chapter: "2.1.2.1",
        title: "a setting alone leaves an extension in its groups",
        command: r#"{"command": "assign_extension", "line_id": "IPPhone 20", "settings": {"do_not_disturb": true}}"#,
        before: &[],
        wire: &[
            r#"<Control attribute="Query"><DeviceInfo/></Control>"#,
            r#"<Control attribute="Assign"><ext lineid="IPPhone 20"><group>1</group><No_Disturb>on</No_Disturb></ext></Control>"#,
        ],
        reply: r#"{"kind": "status", "extensions": [{"number": "219", "settings": {"do_not_disturb": true, "groups": [1]}}]}"#,
        after: &[Until(r#"{"groups": {"1": ["218", "219"]}, "settings": {"219": {"No_Disturb": "on"}}}"#)],
    },
    Row {
        chapter: "2.1.2.1",
        title: "no groups take an extension out of all of them, and null turns its alarm off",
        command: r#"{"command": "assign_extension", "line_id": "IPPhone 20", "settings": {"groups": [], "wake_up": null}}"#,
        before: &[],
        wire: &[
            r#"<Control attribute="Assign"><ext lineid="IPPhone 20"><WAKEUP>00:00</WAKEUP></ext></Control>"#,
        ],
        reply: r#"{"kind": "status", "extensions": [{"number": "219"}]}"#,
        after: &[Until(r#"{"groups": {"1": ["218"]}, "settings": {"219": {"WAKEUP": "00:00"}}}"#)],
    },
    Row {
        chapter: "2.1.2.1",
        title: "an extension that reports single keys too",
        command: r#"{"command": "assign_extension", "line_id": "IPPhone 2", "settings": {"api": 15}}"#,
        before: &[],
        wire: &[
            r#"<Control attribute="Query"><DeviceInfo/></Control>"#,
            r#"<Control attribute="Assign"><ext lineid="IPPhone 2"><api>15</api></ext></Control>"#,
        ],
        reply: r#"{"kind": "status", "extensions": [{"number": "201", "settings": {"api": 15}}]}"#,
        after: &[Until(r#"{"settings": {"201": {"api": "15"}}}"#)],
    },
    Row {
        chapter: "2.1.2.2",
        title: "a ring group",
        command: r#"{"command": "assign_group", "group": 7, "members": ["200", "208"], "distribution": "sequential", "voice_file": "NewMorning"}"#,
        before: &[],
        wire: &[
            r#"<Control attribute="Query"><group id="7"/></Control>"#,
            r#"<Control attribute="Assign"><group id="7"><voicefile>NewMorning</voicefile><distribution>sequential</distribution><ext>200</ext><ext>208</ext></group></Control>"#,
        ],
        reply: r#"{"kind": "status", "groups": [{"group": 7, "members": ["200", "208"], "voice_file": "NewMorning", "waiting": []}]}"#,
        after: &[Until(r#"{"groups": {"7": ["200", "208"]}}"#)],
    },
    Row {
        chapter: "2.1.2.2",
        title: "who is not named leaves the ring group",
        command: r#"{"command": "assign_group", "group": 7, "members": ["208", "209"]}"#,
        before: &[GROUP],
        wire: &[
            r#"<Control attribute="Query"><group id="7"/></Control>"#,
            r#"<Control attribute="Query"><ext id="200"/></Control>"#,
            r#"<Control attribute="Assign"><ext lineid="Phone 1"></ext></Control>"#,
            r#"<Control attribute="Assign"><group id="7"><ext>208</ext><ext>209</ext></group></Control>"#,
        ],
        reply: r#"{"kind": "status", "groups": [{"group": 7, "members": ["208", "209"]}]}"#,
        after: &[Until(r#"{"groups": {"7": ["208", "209"]}}"#)],
    },
    Row {
        chapter: "2.1.2.2",
        title: "a ring group is cleared",
        command: r#"{"command": "assign_group", "group": 7}"#,
        before: &[GROUP],
        wire: &[
            r#"<Control attribute="Query"><group id="7"/></Control>"#,
            r#"<Control attribute="Query"><ext id="200"/></Control>"#,
            r#"<Control attribute="Assign"><ext lineid="Phone 1"></ext></Control>"#,
            r#"<Control attribute="Query"><ext id="208"/></Control>"#,
            r#"<Control attribute="Assign"><ext lineid="Phone 9"></ext></Control>"#,
            r#"<Control attribute="Assign"><group id="7"></group></Control>"#,
        ],
        reply: r#"{"kind": "status", "groups": [{"group": 7, "members": []}]}"#,
        after: &[Until(r#"{"groups": {"7": []}}"#)],
    },
    Row {
        chapter: "2.1.2.3",
        title: "a menu",
        command: r##"{"command": "assign_menu", "menu": 1, "voice_file": "welcome", "repeat": 3, "info_length": 5, "exit": "#"}"##,
        before: &[],
        wire: &[
            r#"<Control attribute="Assign"><menu id="1"><voicefile>welcome</voicefile><repeat>3</repeat><infolength>5</infolength><exit>#</exit></menu></Control>"#,
        ],
        reply: r##"{"kind": "status", "menus": [{"menu": 1, "voice_file": "welcome", "repeat": 3, "info_length": 5, "exit": "#", "with": []}]}"##,
        after: &[Until(
            r##"{"menus": {"1": {"voicefile": "welcome", "repeat": "3", "infolength": "5", "exit": "#", "callers": []}}}"##,
        )],
    },
    Row {
        chapter: "2.1.2.3",
        title: "a menu is deleted",
        command: r#"{"command": "assign_menu", "menu": 1}"#,
        before: &[MENU],
        wire: &[r#"<Control attribute="Assign"><menu id="1"><voicefile></voicefile></menu></Control>"#],
        reply: r#"{"kind": "status"}"#,
        after: &[Until(r#"{"menus": {"1": null}}"#)],
    },
];

const CONTROL: &[Row] = &[
    Row {
        chapter: "2.1.3.1",
        title: "a call is put on hold",
        command: r#"{"command": "hold", "extension": "200"}"#,
        before: &[TALK],
        wire: &[r#"<Control attribute="Hold"><ext id="200"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"from": "200", "to": "208", "held": true}]}"#)],
    },
    Row {
        chapter: "2.1.3.2",
        title: "a held call is taken back",
        command: r#"{"command": "unhold", "extension": "200"}"#,
        before: &[TALK, HELD],
        wire: &[r#"<Control attribute="Unhold"><ext id="200"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"from": "200", "to": "208", "held": false, "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.1.4.1",
        title: "an extension is not heard until its call ends",
        command: r#"{"command": "mute", "extension": "200"}"#,
        before: &[TALK],
        wire: &[r#"<Control attribute="Mute"><ext id="200"/></Control>"#],
        reply: DONE,
        after: &[
            Until(r#"{"muted": ["200"], "calls": [{"state": "talking"}]}"#),
            Send(r#"{"command": "clear", "party": {"extension": "208"}}"#),
            Until(r#"{"muted": [], "calls": []}"#),
        ],
    },
    Row {
        chapter: "2.1.4.2",
        title: "an extension is heard again",
        command: r#"{"command": "unmute", "extension": "200"}"#,
        before: &[
            TALK,
            &[Send(r#"{"command": "mute", "extension": "200"}"#), Until(r#"{"muted": ["200"]}"#)],
        ],
        wire: &[r#"<Control attribute="Unmute"><ext id="200"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"muted": [], "calls": [{"state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.1.5.1",
        title: "a call is listened to",
        command: r#"{"command": "monitor", "extension": "201", "target": "208"}"#,
        before: &[TALK],
        wire: &[r#"<Control attribute="Monitor"><ext id="201"/><ext id="208"/></Control>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"state": "talking"}, {"watches": "208", "answered_by": "201", "barges_in": false}], "rings": {"201": 1}}"#,
        )],
    },
    Row {
        chapter: "2.1.5.2",
        title: "from listening to speaking",
        command: r#"{"command": "talk", "extension": "201"}"#,
        before: &[TALK, MONITORED],
        wire: &[r#"<Control attribute="Talk"><ext id="201"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"state": "talking"}, {"watches": "208", "barges_in": true}]}"#)],
    },
    Row {
        chapter: "2.1.5.3",
        title: "from speaking to listening",
        command: r#"{"command": "listen", "extension": "201"}"#,
        before: &[TALK, MONITORED, &[Send(r#"{"command": "talk", "extension": "201"}"#)]],
        wire: &[r#"<Control attribute="Listen"><ext id="201"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"state": "talking"}, {"watches": "208", "barges_in": false}]}"#)],
    },
    Row {
        chapter: "2.1.6",
        title: "a call is broken into",
        command: r#"{"command": "barge", "extension": "201", "target": "208"}"#,
        before: &[TALK],
        wire: &[r#"<Control attribute="Bargein"><ext id="201"/><ext id="208"/></Control>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"state": "talking"}, {"watches": "208", "answered_by": "201", "barges_in": true}], "rings": {"201": 1}}"#,
        )],
    },
    Row {
        chapter: "2.1.7",
        title: "an extension is hung up",
        command: r#"{"command": "clear", "party": {"extension": "200"}}"#,
        before: &[TALK],
        wire: &[r#"<Control attribute="Clear"><ext id="200"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [], "extensions": {"200": "idle", "208": "idle"}}"#)],
    },
    Row {
        chapter: "2.1.7",
        title: "a caller is hung up",
        command: r#"{"command": "clear", "party": {"visitor": "{visitor}"}}"#,
        before: &[INCOMING, ANSWERED],
        wire: &[r#"<Control attribute="Clear"><visitor id="{visitor}"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [], "extensions": {"200": "idle"}, "trunks": {"888": "ready"}}"#)],
    },
    Row {
        chapter: "2.1.7",
        title: "an outside party that was called is hung up",
        command: r#"{"command": "clear", "party": {"outer": "{outer}"}}"#,
        before: &[OUTSIDE_TALK],
        wire: &[r#"<Control attribute="Clear"><outer id="{outer}"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [], "extensions": {"200": "idle"}, "trunks": {"888": "ready"}}"#)],
    },
];

const CONNECT: &[Row] = &[
    Row {
        chapter: "2.2.1.1",
        title: "an extension calls an extension",
        command: r#"{"command": "connect", "from": {"extension": "200"}, "to": {"extension": "208"}}"#,
        before: &[],
        wire: &[r#"<Transfer attribute="Connect"><ext id="200"/><ext id="208"/></Transfer>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"from": "200", "to": "208", "direction": "internal", "state": "talking"}], "rings": {"200": 1, "208": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.2",
        title: "an extension calls outside",
        command: r#"{"command": "connect", "from": {"extension": "208"}, "to": {"number": "13012345678"}}"#,
        before: &[],
        wire: &[r#"<Transfer attribute="Connect"><ext id="208"/><outer to="13012345678"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "1", "from": "208", "to": "13012345678", "trunk": "888"},
            {"kind": "extension", "id": "208"}]}"#,
        after: &[Until(
            r#"{"calls": [{"from": "208", "to": "13012345678", "trunk": "888", "outer": [1], "state": "talking"}], "rings": {"208": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.2",
        title: "over a trunk that is named",
        command: r#"{"command": "connect", "from": {"extension": "208"}, "to": {"number": "13012345678", "trunk": "889"}}"#,
        before: &[],
        wire: &[
            r#"<Transfer attribute="Connect"><ext id="208"/><trunk id="889"/><outer to="13012345678"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "1", "trunk": "889"}, {"kind": "extension", "id": "208"}]}"#,
        after: &[Until(r#"{"calls": [{"to": "13012345678", "trunk": "889", "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.1.2",
        title: "over an analog trunk, which tells no id at first",
        command: r#"{"command": "connect", "from": {"extension": "208"}, "to": {"number": "13012345678", "trunk": "02161208235"}}"#,
        before: &[],
        wire: &[
            r#"<Transfer attribute="Connect"><ext id="208"/><trunk id="02161208235"/><outer to="13012345678"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": null, "from": "208", "to": "13012345678", "trunk": null},
            {"kind": "extension", "id": "208"}]}"#,
        after: &[Until(r#"{"calls": [{"to": "13012345678", "trunk": "02161208235", "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.1.2",
        title: "with a prefix",
        command: r#"{"command": "connect", "from": {"extension": "208"}, "to": {"number": "9,13012345678"}}"#,
        before: &[],
        wire: &[r#"<Transfer attribute="Connect"><ext id="208"/><outer to="9,13012345678"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "to": "13012345678"}, {"kind": "extension", "id": "208"}]}"#,
        after: &[Until(r#"{"calls": [{"to": "13012345678", "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.1.2",
        title: "with keys that are pressed later",
        command: r#"{"command": "connect", "from": {"extension": "208"}, "to": {"number": "13012345678,,1"}}"#,
        before: &[],
        wire: &[r#"<Transfer attribute="Connect"><ext id="208"/><outer to="13012345678,,1"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "to": "13012345678"}, {"kind": "extension", "id": "208"}]}"#,
        after: &[Until(r#"{"calls": [{"to": "13012345678", "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.1.3",
        title: "a caller to an extension",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"extension": "200"}}"#,
        before: &[INCOMING],
        wire: &[r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><ext id="200"/></Transfer>"#],
        reply: r#"{"kind": "begun", "waiting": false, "parties": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678",
            "to": "888", "callid": "{callid}"}, {"kind": "extension", "id": "200"}]}"#,
        after: &[Until(
            r#"{"calls": [{"visitor": {visitor}, "answered_by": "200", "state": "talking"}], "rings": {"200": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.3",
        title: "a caller to an extension, with an announcement",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"extension": "200"}, "voice_file": ["silence", "silence", "connect"]}"#,
        before: &[INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><ext id="200"/><voicefile>silence+silence+connect</voicefile></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "extension", "id": "200"}]}"#,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "answered_by": "200"}]}"#)],
    },
    Row {
        chapter: "2.2.1.3",
        title: "a caller to an IP telephone that answers by itself",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"extension": "201"}, "auto_answer": true}"#,
        before: &[INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><ext id="201"/><AutoAnswer>yes</AutoAnswer></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "extension", "id": "201"}]}"#,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "answered_by": "201"}]}"#)],
    },
    Row {
        chapter: "2.2.1.4",
        title: "a caller to an outside number",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"number": "02167103750"}}"#,
        before: &[OUTSIDE_ALLOWED, INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><outer to="02167103750"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888", "callid": "{callid}"},
            {"kind": "outer", "id": null, "to": "02167103750"}]}"#,
        after: &[Until(
            r#"{"calls": [{"visitor": {visitor}, "state": "talking", "legs": [{"kind": "visitor"}, {"kind": "outer", "number": "02167103750"}]}]}"#,
        )],
    },
    Row {
        chapter: "2.2.1.4",
        title: "a caller to an outside number, which is shown who calls",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"number": "02167103750", "display": "18201008888"}}"#,
        before: &[OUTSIDE_ALLOWED, INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><outer to="02167103750" display="18201008888"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "outer", "to": "02167103750"}]}"#,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "state": "talking", "outer": [2]}]}"#)],
    },
    Row {
        chapter: "2.2.1.4",
        title: "a caller to an outside number over a trunk that is named, with an announcement",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"number": "9,02167103750", "trunk": "889"}, "voice_file": ["connect"]}"#,
        before: &[OUTSIDE_ALLOWED, INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><trunk id="889"/><outer to="9,02167103750"/><voicefile>connect</voicefile></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "outer", "to": "02167103750"}]}"#,
        after: &[Until(
            r#"{"calls": [{"visitor": {visitor}, "state": "talking"}], "trunks": {"888": "active", "889": "active"}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.5",
        title: "a caller to a menu",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"menu": 1}}"#,
        before: &[MENU, INCOMING],
        wire: &[r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><menu id="1"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(
            r#"{"calls": [{"visitor": {visitor}, "state": "in_menu"}], "menus": {"1": {"callers": ["13012345678"]}}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.5",
        title: "a caller to a menu that plays something else this once",
        command: r#"{"command": "connect", "from": {"visitor": "{visitor}"}, "to": {"menu": 1}, "voice_file": ["user_1", "2", "user_2"]}"#,
        before: &[MENU, INCOMING],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><menu id="1"/><voicefile>user_1+2+user_2</voicefile></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(r#"{"menus": {"1": {"callers": ["13012345678"]}}}"#)],
    },
    Row {
        chapter: "2.2.1.6",
        title: "an outside party that was called to an extension",
        command: r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"extension": "208"}}"#,
        before: &[OUTSIDE_TALK],
        wire: &[r#"<Transfer attribute="Connect"><outer id="{outer}"/><ext id="208"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "{outer}", "from": "200", "to": "13012345678", "trunk": "888", "callid": "{callid}"}]}"#,
        after: &[Until(
            r#"{"calls": [{"outer": [{outer}], "answered_by": "208", "state": "talking"}], "extensions": {"200": "idle", "208": "busy"}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.7",
        title: "an outside party that was called to an outside number",
        command: r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"number": "02167103750"}}"#,
        before: &[OUTSIDE_ALLOWED, OUTSIDE_TALK],
        wire: &[r#"<Transfer attribute="Connect"><outer id="{outer}"/><outer to="02167103750"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "{outer}", "from": "200", "to": "13012345678", "trunk": "888"},
            {"kind": "outer", "id": null, "to": "02167103750"}]}"#,
        after: &[Until(
            r#"{"calls": [{"outer": [{outer}, 2], "state": "talking", "legs": [{"number": "13012345678"}, {"number": "02167103750"}]}], "extensions": {"200": "idle"}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.7",
        title: "an outside party that was called to an outside number over a trunk that is named, with an announcement",
        command: r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"number": "02167103750", "trunk": "889"}, "voice_file": ["connect"]}"#,
        before: &[OUTSIDE_ALLOWED, OUTSIDE_TALK],
        wire: &[
            r#"<Transfer attribute="Connect"><outer id="{outer}"/><trunk id="889"/><outer to="02167103750"/><voicefile>connect</voicefile></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "{outer}"}, {"kind": "outer", "to": "02167103750"}]}"#,
        after: &[Until(
            r#"{"calls": [{"outer": [{outer}, 2], "state": "talking"}], "trunks": {"888": "active", "889": "active"}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.8",
        title: "an outside party that was called to a menu",
        command: r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"menu": 1}}"#,
        before: &[MENU, OUTSIDE_TALK],
        wire: &[r#"<Transfer attribute="Connect"><outer id="{outer}"/><menu id="1"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "{outer}", "to": "13012345678"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(
            r#"{"calls": [{"outer": [{outer}], "state": "in_menu"}], "extensions": {"200": "idle"}, "menus": {"1": {"callers": ["…"]}}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.8",
        title: "an outside party that was called to a menu that plays something else this once",
        command: r#"{"command": "connect", "from": {"outer": "{outer}"}, "to": {"menu": 1}, "voice_file": ["thanks"]}"#,
        before: &[MENU, OUTSIDE_TALK],
        wire: &[
            r#"<Transfer attribute="Connect"><outer id="{outer}"/><menu id="1"/><voicefile>thanks</voicefile></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "{outer}"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(r#"{"calls": [{"outer": [{outer}], "state": "in_menu"}]}"#)],
    },
    Row {
        chapter: "2.2.1.9",
        title: "a menu calls an extension",
        command: r#"{"command": "connect", "from": {"menu": 1}, "to": {"extension": "200"}}"#,
        before: &[MENU],
        wire: &[r#"<Transfer attribute="Connect"><menu id="1"/><ext id="200"/></Transfer>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"state": "in_menu", "legs": [{"kind": "menu", "number": "1"}, {"kind": "extension", "number": "200"}]}],
            "menus": {"1": {"callers": ["200"]}}, "rings": {"200": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.10",
        title: "a menu calls outside",
        command: r#"{"command": "connect", "from": {"menu": 1}, "to": {"number": "13012345678"}}"#,
        before: &[MENU, OUTSIDE_ALLOWED],
        wire: &[r#"<Transfer attribute="Connect"><menu id="1"/><outer to="13012345678"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "1", "to": "13012345678", "trunk": "888"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(
            r#"{"calls": [{"outer": [1], "state": "in_menu"}], "menus": {"1": {"callers": ["13012345678"]}}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.10",
        title: "a menu calls outside over a trunk that is named, with a prefix",
        command: r#"{"command": "connect", "from": {"menu": 1}, "to": {"number": "9,13012345678", "trunk": "889"}}"#,
        before: &[MENU, OUTSIDE_ALLOWED],
        wire: &[
            r#"<Transfer attribute="Connect"><menu id="1"/><trunk id="889"/><outer to="9,13012345678"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "to": "13012345678", "trunk": "889"}, {"kind": "menu", "id": "1"}]}"#,
        after: &[Until(r#"{"calls": [{"trunk": "889", "state": "in_menu"}]}"#)],
    },
    Row {
        chapter: "2.2.1.11",
        title: "two outside parties are called and joined",
        command: r#"{"command": "connect", "from": {"number": "13012345678"}, "to": {"number": "02167103750"}}"#,
        before: &[OUTSIDE_ALLOWED],
        wire: &[
            r#"<Transfer attribute="Connect"><outer to="13012345678"/><outer to="02167103750"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "1", "to": "13012345678", "trunk": "888"}]}"#,
        after: &[Until(
            r#"{"calls": [{"direction": "callback", "state": "talking", "outer": [1, 2], "from": "13012345678", "to": "02167103750"}]}"#,
        )],
    },
    Row {
        chapter: "2.2.1.11",
        title: "two outside parties are called over trunks that display names",
        command: r#"{"command": "connect", "from": {"number": "13012345678", "display": "889"}, "to": {"number": "02167103750", "display": "888"}}"#,
        before: &[OUTSIDE_ALLOWED, &[Set("API_DISPLAY", "yes"), Set("API_CPN", "yes")]],
        wire: &[
            r#"<Transfer attribute="Connect"><outer to="13012345678" display="889"/><outer to="02167103750" display="888"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "id": "1", "to": "13012345678", "trunk": "889"}]}"#,
        after: &[Until(
            r#"{"calls": [{"state": "talking", "trunk": "889", "outer": [1, 2]}], "trunks": {"888": "active", "889": "active"}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.11",
        title: "two outside parties are called over trunks that are named",
        command: r#"{"command": "connect", "from": {"number": "13012345678", "trunk": "889"}, "to": {"number": "02167103750", "trunk": "888"}}"#,
        before: &[OUTSIDE_ALLOWED, &[Set("API_DISPLAY", "yes"), Set("API_CPN", "yes")]],
        wire: &[
            r#"<Transfer attribute="Connect"><outer to="13012345678" display="889"/><outer to="02167103750" display="888"/></Transfer>"#,
        ],
        reply: r#"{"kind": "begun", "parties": [{"kind": "outer", "trunk": "889"}]}"#,
        after: &[Until(r#"{"calls": [{"state": "talking", "trunk": "889", "outer": [1, 2]}]}"#)],
    },
    Row {
        chapter: "2.2.1.12",
        title: "an extension hears an announcement",
        command: r#"{"command": "announce", "party": {"extension": "200"}, "voice_file": ["welcome"]}"#,
        before: &[TALK],
        wire: &[r#"<Transfer attribute="Connect"><ext id="200"/><voicefile>welcome</voicefile></Transfer>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"from": "200", "to": "208", "state": "talking"}], "rings": {"200": 1, "208": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.1.12",
        title: "a caller hears an announcement",
        command: r#"{"command": "announce", "party": {"visitor": "{visitor}"}, "voice_file": ["welcome"]}"#,
        before: &[INCOMING, ANSWERED],
        wire: &[
            r#"<Transfer attribute="Connect"><visitor id="{visitor}"/><voicefile>welcome</voicefile></Transfer>"#,
        ],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.1.12",
        title: "an outside party that was called hears two files",
        command: r#"{"command": "announce", "party": {"outer": "{outer}"}, "voice_file": ["silence", "welcome"]}"#,
        before: &[OUTSIDE_TALK],
        wire: &[
            r#"<Transfer attribute="Connect"><outer id="{outer}"/><voicefile>silence+welcome</voicefile></Transfer>"#,
        ],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"outer": [{outer}], "state": "talking"}]}"#)],
    },
];

const QUEUE: &[Row] = &[
    Row {
        chapter: "2.2.2.1",
        title: "a caller waits for a busy extension",
        command: r#"{"command": "queue", "visitor": "{visitor}", "to": {"extension": "200"}}"#,
        before: &[TALK, ONE_MORE],
        wire: &[r#"<Transfer attribute="Queue"><visitor id="{visitor}"/><ext id="200"/></Transfer>"#],
        reply: r#"{"kind": "begun", "waiting": true, "parties": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888"},
            {"kind": "extension", "id": "200"}]}"#,
        after: &[
            Until(r#"{"calls": [{"state": "talking"}, {"waits_for": "200", "state": "queued"}]}"#),
            Send(r#"{"command": "clear", "party": {"extension": "208"}}"#),
            Until(r#"{"calls": [{"visitor": {visitor}, "answered_by": "200", "state": "talking"}]}"#),
        ],
    },
    Row {
        chapter: "2.2.2.1",
        title: "a caller need not wait for a free extension",
        command: r#"{"command": "queue", "visitor": "{visitor}", "to": {"extension": "200"}}"#,
        before: &[INCOMING],
        wire: &[r#"<Transfer attribute="Queue"><visitor id="{visitor}"/><ext id="200"/></Transfer>"#],
        reply: r#"{"kind": "begun", "waiting": false, "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "extension", "id": "200"}]}"#,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "answered_by": "200"}], "rings": {"200": 1}}"#)],
    },
    Row {
        chapter: "2.2.2.2",
        title: "a caller to a ring group with a free member",
        command: r#"{"command": "queue", "visitor": "{visitor}", "to": {"group": 7}}"#,
        before: &[GROUP, INCOMING],
        wire: &[r#"<Transfer attribute="Queue"><visitor id="{visitor}"/><group id="7"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}", "from": "13012345678", "to": "888"},
            {"kind": "group", "id": "7"}]}"#,
        after: &[Until(r#"{"calls": [{"visitor": {visitor}, "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.2.2",
        title: "a caller waits for a ring group",
        command: r#"{"command": "queue", "visitor": "{visitor}", "to": {"group": 7}}"#,
        before: &[GROUP, TALK, ONE_MORE],
        wire: &[r#"<Transfer attribute="Queue"><visitor id="{visitor}"/><group id="7"/></Transfer>"#],
        reply: r#"{"kind": "begun", "parties": [{"kind": "visitor", "id": "{visitor}"}, {"kind": "group", "id": "7"}]}"#,
        after: &[
            Until(
                r#"{"calls": [{"state": "talking"}, {"state": "queued"}], "queues": {"12": ["13012345678"]}}"#,
            ),
            Send(r#"{"command": "clear", "party": {"extension": "200"}}"#),
            Until(r#"{"calls": [{"visitor": {visitor}, "state": "talking"}], "queues": {"12": []}}"#),
        ],
    },
    Row {
        chapter: "2.2.3",
        title: "step 1: an extension calls another",
        command: r#"{"command": "connect", "from": {"extension": "212"}, "to": {"extension": "213"}}"#,
        before: &[],
        wire: &[r#"<Transfer attribute="Connect"><ext id="212"/><ext id="213"/></Transfer>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"from": "212", "to": "213", "state": "talking"}]}"#)],
    },
    Row {
        chapter: "2.2.3",
        title: "step 2: it puts the call on hold",
        command: r#"{"command": "hold", "extension": "212"}"#,
        before: &[TALK_212],
        wire: &[r#"<Control attribute="Hold"><ext id="212"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"calls": [{"from": "212", "to": "213", "held": true}]}"#)],
    },
    Row {
        chapter: "2.2.3",
        title: "step 3: it calls a third",
        command: r#"{"command": "connect", "from": {"extension": "212"}, "to": {"extension": "214"}}"#,
        before: &[TALK_212, HELD_212],
        wire: &[r#"<Transfer attribute="Connect"><ext id="212"/><ext id="214"/></Transfer>"#],
        reply: DONE,
        after: &[Until(
            r#"{"calls": [{"to": "213", "held": true}, {"to": "214", "held": false, "state": "talking"}], "rings": {"212": 1, "214": 1}}"#,
        )],
    },
    Row {
        chapter: "2.2.3",
        title: "step 4: all three are joined",
        command: r#"{"command": "conference", "extension": "212"}"#,
        before: &[TALK_212, HELD_212, TALK_214],
        wire: &[r#"<Transfer attribute="Conference"><ext id="212"/></Transfer>"#],
        reply: DONE,
        after: &[
            Until(
                r#"{"calls": [{"to": "213", "held": false, "state": "talking"}, {"to": "214", "held": false, "state": "talking"}]}"#,
            ),
            Asked(
                r#"{"command": "query", "target": {"extension": "212"}}"#,
                r#"{"extensions": [{"with": [{"state": "talk"}, {"state": "talk"}]}]}"#,
            ),
        ],
    },
];

const MANAGE: &[Row] = &[
    Row {
        chapter: "2.3.1",
        title: "the voice files",
        command: r#"{"command": "query_voice_files"}"#,
        before: &[],
        wire: &[r#"<Manage attribute="Query"><voicefile/></Manage>"#],
        reply: r#"{"kind": "status", "voice_files": ["welcome.pcm", "NewMorning.pcm", "…"]}"#,
        after: &[],
    },
    Row {
        chapter: "2.3.2",
        title: "voice files are removed",
        command: r#"{"command": "remove_voice_files", "files": ["user_file1.pcm", "NewMorning.pcm"]}"#,
        before: &[],
        wire: &[
            r#"<Manage attribute="Remove"><voicefile>user_file1.pcm|NewMorning.pcm</voicefile></Manage>"#,
        ],
        reply: DONE,
        after: &[Asked(
            r#"{"command": "query_voice_files"}"#,
            r#"{"voice_files": ["welcome.pcm", "busy.pcm", "waiting.pcm", "connect.pcm", "silence.pcm", "…"]}"#,
        )],
    },
    Row {
        chapter: "2.4",
        title: "a caller is let in",
        command: r#"{"command": "accept", "visitor": "{visitor}"}"#,
        before: &[INVITED],
        wire: &[r#"<Notify attribute="Accept"><visitor id="{visitor}"/></Notify>"#],
        reply: DONE,
        after: &[Until(
            r#"{"accepts": [{"visitor": {visitor}}], "calls": [{"visitor": {visitor}, "state": "talking"}]}"#,
        )],
    },
    Row {
        chapter: "2.4",
        title: "a caller is turned away",
        command: r#"{"command": "clear", "party": {"visitor": "{visitor}"}}"#,
        before: &[INVITED],
        wire: &[r#"<Control attribute="Clear"><visitor id="{visitor}"/></Control>"#],
        reply: DONE,
        after: &[Until(r#"{"accepts": [], "calls": [], "rings": {"200": null}}"#)],
    },
];

/// A parameter as it is at first is read; another value is written, and read again.
macro_rules! parameters {
    ($($name:literal $id:literal $(on $line:literal $number:literal)?: $first:literal, $value:literal $(, $restart:ident)? $(; shown $shown:literal)?;)*) => {
        &[$(
            Row {
                chapter: "6.2.1",
                title: concat!("read ", $name $(, " of ", $line)?),
                command: parameters!(@ "read_parameter", $name, "" $(, $line)?),
                before: &[],
                wire: &[concat!("/xml?method=gw.config.get" $(, "&line_id=", $number)?, "&id=", $id, "&pass=admin")],
                reply: concat!(r#"{"kind": "parameter", "value": ""#, $first, r#""}"#),
                after: &[],
            },
            Row {
                chapter: "6.2.2",
                title: concat!("write ", $name $(, " of ", $line)?),
                command: parameters!(@ "write_parameter", $name, concat!(r#", "value": ""#, $value, r#"""#) $(, $line)?),
                before: &[],
                wire: &[concat!(
                    "/xml?method=gw.config.set" $(, "&line_id=", $number)?, "&id", $id, "=", $value, "&pass=admin"
                )],
                reply: concat!(r#"{"kind": "parameter", "value": null, "after_restart": "#, parameters!(@ $($restart)?), "}"),
                after: &[
                    Asked(
                        parameters!(@ "read_parameter", $name, "" $(, $line)?),
                        concat!(r#"{"kind": "parameter", "value": ""#, parameters!(@@ $value $(, $shown)?), r#""}"#),
                    ),
                ],
            },
        )*]
    };
    (@ $command:literal, $name:literal, $value:expr) => {
        concat!(r#"{"command": ""#, $command, r#"", "name": ""#, $name, r#"""#, $value, "}")
    };
    (@ $command:literal, $name:literal, $value:expr, $line:literal) => {
        concat!(
            r#"{"command": ""#, $command, r#"", "name": ""#, $name, r#"""#, $value, r#", "line_id": ""#, $line, r#""}"#
        )
    };
    (@@ $value:literal) => { $value };
    (@@ $value:literal, $shown:literal) => { $shown };
    (@ restart) => { true };
    (@) => { false };
}

const PARAMETERS: &[Row] = parameters! {
    "API_MAC" 349: "no", "yes";
    "API_RESPONSE_TO" 526: "5", "9";
    "CONTROL_TYPE" 554: "0", "1", restart;
    "FT_API_1" 599 on "IPLine 21" 21: "0x27", "0x37";
    "FT_API_1" 599 on "IPPhone 2" 2: "0x07", "0x00";
    "CB_TYPE" 615: "0", "1";
    "API_DISPLAY" 624: "yes", "no";
    "CONFIG_CHANGE" 883: "0", "2";
    "API_CALLING" 978: "no", "yes";
    "FT_ALERT_INFO_X" 986 on "IPPhone 2" 2: "off", "on";
    "API_CPN" 991: "no", "yes";
    "API_CDR" 1058: "yes", "no";
    "API_OUTBOUND_TRANSFER" 1070: "0", "1";
    "API_TIMEOUT" 1088: "0", "60";
    // Passwords are set and not shown.
    "API_PASSWORD" 1089: "********", "an0ther"; shown "********";
    "API_METHOD" 1125: "0", "1";
    "API_SERVER_PASSWORD" 1153: "", "s3nder"; shown "********";
    "API_FLAG" 1198: "0x00", "0x04";
};
