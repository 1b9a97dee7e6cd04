//! Commands are read as they were written, whatever is in them; and whatever is read gets an answer.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use switchroom_domain::Text;
use switchroom_domain::command::{
    Command, Distribution, ExtensionSettings, Forward, ForwardType, PartyRef, Target, TargetKind, WakeUp,
};
use switchroom_protocol::is_om_command;
use switchroom_protocol::om::{decode_command, encode_command};

/// A name or number: not empty, nothing to trim, no separator of lists.
fn id() -> BoxedStrategy<Text> {
    prop_oneof![4 => "[0-9]{1,12}", 1 => "[!-*,-{}~]{1,12}", 1 => "[a-z<>&\"'é张] ?[a-z]{1,5}"]
        .prop_map(Text::from)
        .boxed()
}

fn number() -> impl Strategy<Value = PartyRef> {
    (id(), option::of(id()), option::of(id())).prop_map(|(number, trunk, display)| PartyRef::Number {
        number,
        trunk,
        display,
    })
}

fn in_call() -> impl Strategy<Value = PartyRef> {
    prop_oneof![
        id().prop_map(PartyRef::extension),
        id().prop_map(|visitor| PartyRef::Visitor { visitor }),
        id().prop_map(|outer| PartyRef::Outer { outer }),
    ]
}

fn connect() -> impl Strategy<Value = Command> {
    let from = prop_oneof![in_call(), (1..51_u16).prop_map(|menu| PartyRef::Menu { menu })];
    let to = prop_oneof![
        id().prop_map(PartyRef::extension),
        number(),
        (1..51_u16).prop_map(|menu| PartyRef::Menu { menu }),
    ];
    let called = || {
        (id(), option::of(id())).prop_map(|(number, display)| PartyRef::Number {
            number,
            trunk: None,
            display,
        })
    };
    let sides = prop_oneof![3 => (from.boxed(), to.boxed()), 1 => (called().boxed(), called().boxed())];
    (sides, vec(id(), 0..4), any::<bool>()).prop_map(|((from, to), voice_file, auto_answer)| {
        Command::Connect { from, to, voice_file, auto_answer }
    })
}

fn settings() -> impl Strategy<Value = ExtensionSettings> {
    let empty = || option::of(prop_oneof![id(), Just(Text::default())]);
    let wake_up = (0..24_u8, 1..60_u8).prop_map(|(hour, minute)| WakeUp { hour, minute });
    let kinds = prop::sample::select(vec![ForwardType::Off, ForwardType::All, ForwardType::BusyOrNoAnswer]);
    let forward = (option::of(kinds), empty()).prop_filter_map("something", |(kind, number)| {
        (kind.is_some() || number.is_some()).then_some(Forward { kind, number })
    });
    let flag = || any::<Option<bool>>();
    (
        (empty(), empty(), empty(), empty(), empty(), empty()),
        (vec(1..51_u16, 0..4), option::of(0..4_u8), any::<Option<u8>>()),
        (flag(), flag(), flag(), flag()),
        (option::of(forward), option::of(option::of(wake_up))),
    )
        .prop_map(|(texts, (groups, call_restriction, api), flags, (forward, wake_up))| {
            let (id, staff_id, mobile, email, voice_file, fork) = texts;
            let (call_pickup, do_not_disturb, record, auto_answer) = flags;
            ExtensionSettings {
                id,
                staff_id,
                mobile,
                email,
                groups: Some(groups),
                voice_file,
                call_restriction,
                call_pickup,
                do_not_disturb,
                forward,
                fork,
                wake_up,
                record,
                auto_answer,
                api,
            }
        })
}

fn of_extension() -> impl Strategy<Value = Command> {
    let makers: Vec<fn(Text) -> Command> = vec![
        |extension| Command::Hold { extension },
        |extension| Command::Unhold { extension },
        |extension| Command::Mute { extension },
        |extension| Command::Unmute { extension },
        |extension| Command::Talk { extension },
        |extension| Command::Listen { extension },
        |extension| Command::Conference { extension },
        |visitor| Command::Accept { visitor },
        |extension| Command::Clear { party: PartyRef::Extension { extension } },
    ];
    (prop::sample::select(makers), id()).prop_map(|(make, extension)| make(extension))
}

fn any_command() -> impl Strategy<Value = Command> {
    let target = prop_oneof![
        Just(Target::Device),
        (prop::sample::select(TargetKind::ALL), id()).prop_map(|(kind, id)| Target::one(kind, id)),
        prop::sample::select(&TargetKind::ALL[2..]).prop_map(Target::all),
    ];
    let how =
        prop::sample::select(vec![Distribution::Sequential, Distribution::Circular, Distribution::Group]);
    let waits_for = prop_oneof![
        id().prop_map(PartyRef::extension),
        (1..51_u16).prop_map(|group| PartyRef::Group { group })
    ];
    prop_oneof![
        of_extension(),
        connect(),
        target.prop_map(|target| Command::Query { target }),
        (id(), settings()).prop_map(|(line_id, settings)| Command::AssignExtension {
            line_id,
            settings: Box::new(settings)
        }),
        (1..51_u16, vec(id(), 0..4), option::of(how), option::of(id())).prop_map(
            |(group, members, distribution, voice_file)| Command::AssignGroup {
                group,
                members,
                distribution,
                voice_file
            }
        ),
        (1..51_u16, option::of(id()), any::<Option<u16>>(), option::of(1..=u8::MAX), option::of("[0-9#*]?"))
            .prop_map(|(menu, voice_file, repeat, info_length, exit)| Command::AssignMenu {
                menu,
                voice_file,
                repeat,
                info_length,
                exit: exit.map(Text::from)
            }),
        (id(), id()).prop_map(|(extension, target)| Command::Monitor { extension, target }),
        (id(), id()).prop_map(|(extension, target)| Command::Barge { extension, target }),
        in_call().prop_map(|party| Command::Clear { party }),
        (in_call(), vec(id(), 1..4)).prop_map(|(party, voice_file)| Command::Announce { party, voice_file }),
        (id(), waits_for).prop_map(|(visitor, to)| Command::Queue { visitor, to }),
        Just(Command::QueryVoiceFiles {}),
        vec(id(), 1..4).prop_map(|files| Command::RemoveVoiceFiles { files }),
    ]
}

proptest! {
    #[test]
    fn commands_are_read_as_they_were_written(command in any_command()) {
        let body = encode_command(&command, None).expect("goes over /xml");
        prop_assert!(is_om_command(&body));
        prop_assert_eq!(decode_command(&body).expect("well formed").command, Ok(command));
    }

    #[test]
    fn anything_gets_an_answer(body in vec(any::<u8>(), 0..200)) {
        let _ = decode_command(&body);
    }

    #[test]
    fn pieces_of_commands_get_an_answer(pieces in vec(prop::sample::select(vec![
        "<Control attribute=\"Assign\">", "</Control>", "<ext id='1'>", "</ext>", "<group/>", "</group>", "<Auth>",
        "<api>9</api>", "<Transfer attribute='Connect'>", "</Transfer>", "&amp;", "<outer to='1'/>", "x", "<!--", "-->",
    ]), 0..12)) {
        let _ = decode_command(pieces.concat().as_bytes());
    }
}
