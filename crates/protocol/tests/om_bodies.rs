//! How OM documents are put together, and what is done to them: several in one body, signatures before and
//! after, encodings, and bodies that mean harm.

mod support;

use support::{call, ext, om, om_facts, one, try_decode};
use switchroom_domain::fact::{Fact, Happening};
use switchroom_protocol::{Dialect, om as dialect, sign};

const EVENT: &str =
    "<Event attribute=\"BUSY\">\n<MAC>00:0E:A9:2D:07:D0 </MAC>\n  <ext id=\"200\" />\n</Event>\n";
const AUTH: &str = "<Auth>\n  <nonce>2E8E52C6</nonce>\n  <timestamp>1498542290</timestamp>\n  \
                    <signature>24fe6019c3f284789f8cfacc3446e7ed</signature>\n</Auth>\n";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n";

fn auths(body: &str) -> Vec<bool> {
    let messages = try_decode(Dialect::Om, body.as_bytes()).expect("well formed");
    messages.iter().map(|message| message.auth.is_some()).collect()
}

#[test]
fn a_signature_goes_with_its_event() {
    let decoded = om(&format!("{DECLARATION}{EVENT}{AUTH}"));
    assert_eq!(decoded.mac.as_deref(), Some("00:0E:A9:2D:07:D0"));
    assert!(sign::verify("123456", decoded.auth.as_ref().expect("signed")));
    let early = om(&format!("{DECLARATION}{AUTH}{EVENT}"));
    assert_eq!(early.auth, decoded.auth);
    assert_eq!(auths(&format!("{EVENT}{AUTH}{DECLARATION}{EVENT}{AUTH}")), [true, true]);
    assert_eq!(auths(&format!("{AUTH}{EVENT}{AUTH}{EVENT}")), [true, true]);
    assert_eq!(auths(&format!("{EVENT}{EVENT}{AUTH}")), [false, true]);
    let inside = EVENT.replace("</Event>", &format!("{AUTH}</Event>"));
    assert_eq!(om(&inside).auth, decoded.auth);
}

#[test]
fn several_documents_in_one_body() {
    let body = format!("\u{feff}\n {DECLARATION}{EVENT}\0{DECLARATION}{EVENT}<!-- x -->\u{feff}{EVENT}\0\n");
    assert_eq!(try_decode(Dialect::Om, body.as_bytes()).expect("well formed").len(), 3);
    let too_many = EVENT.repeat(257);
    let error = try_decode(Dialect::Om, too_many.as_bytes()).expect_err("bounded");
    assert!(error.reason.contains("256"), "{error}");
}

#[test]
fn what_is_not_well_formed_is_an_error_with_a_place() {
    for (body, place) in [
        ("", "no document"),
        ("   \n", "no document"),
        ("hello", "outside"),
        ("<Event attribute=\"RING\"><ext id=\"200\"/>", "ends inside"),
        ("<Event attribute=\"RING\"></Cdr>", "at byte"),
        ("<Event attribute=\"RING", "at byte"),
        ("<Event attribute=RING><ext id=\"200\"/></Event>", "at byte"),
        (AUTH, "no document"),
    ] {
        let error = try_decode(Dialect::Om, body.as_bytes()).expect_err(body);
        assert!(error.to_string().contains(place), "{body}: {error}");
        assert!(error.offset <= body.len(), "{body}: {error}");
    }
}

#[test]
fn entities_are_five_and_numbers_and_nothing_expands() {
    let ring = |id: &str| Fact::Call(Box::new(call(Happening::Ringing, vec![ext(id)])));
    let body = "<Event attribute=\"RING\"><ext id=\"a&amp;b&#x35;&#54;&lt;\"/></Event>";
    assert_eq!(om_facts(body), [ring("a&b56<")]);
    let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <Event attribute=\"RING\"><ext id=\"&b;\"/><recording>&b;&#0;&</recording></Event>";
    let facts = om_facts(bomb);
    let [Fact::Call(fact)] = facts.as_slice() else { panic!("{facts:?}") };
    assert_eq!(fact.parties, [ext("&b;")]);
    assert_eq!(fact.recording.as_deref(), Some("&b;&#0;&"));
}

#[test]
fn names_end_where_names_can() {
    assert_eq!(om_facts("<Status//>"), [Fact::Unrecognized { name: "Status".into() }]);
    assert_eq!(om_facts("<&/>"), [Fact::Unrecognized { name: "unnamed".into() }]);
}

#[test]
fn text_in_cdata_and_pieces_is_one() {
    let body = "<Event attribute=\"BYE\"><recording>a<![CDATA[<b>]]>&amp;<!-- x -->c</recording></Event>";
    let [Fact::Call(fact)] = &om_facts(body)[..] else { panic!("a call") };
    assert_eq!(fact.recording.as_deref(), Some("a<b>&c"));
}

#[test]
fn depth_parties_and_lengths_are_bounded_or_borne() {
    let deep = |levels: usize| {
        format!("<Event attribute=\"RING\">{}{}</Event>", "<a>".repeat(levels), "</a>".repeat(levels))
    };
    assert!(try_decode(Dialect::Om, deep(63).as_bytes()).is_ok());
    let error = try_decode(Dialect::Om, deep(64).as_bytes()).expect_err("bounded");
    assert!(error.reason.contains("64"), "{error}");
    assert!(try_decode(Dialect::Om, "<Event>".repeat(9000).as_bytes()).is_err());

    let crowd = format!("<Event attribute=\"RING\">{}</Event>", "<ext id=\"1\"/>".repeat(1000));
    let [Fact::Call(fact)] = &om_facts(&crowd)[..] else { panic!("a call") };
    assert_eq!(fact.parties.len(), 64);

    let huge = "9".repeat(60_000);
    let body = format!("<Event attribute=\"RING\"><ext id=\"{huge}\" id=\"{huge}\"/></Event>");
    let [Fact::Call(fact)] = &om_facts(&body)[..] else { panic!("a call") };
    assert_eq!(fact.parties, [ext(&huge)]);
}

#[test]
fn every_truncation_is_an_answer() {
    let body = format!("{DECLARATION}{EVENT}{AUTH}");
    for end in 0..body.len() {
        let _ = try_decode(Dialect::Om, &body.as_bytes()[..end]);
    }
    for at in 0..body.len() {
        let mut broken = body.clone().into_bytes();
        broken[at] = 0xff;
        let _ = try_decode(Dialect::Om, &broken);
    }
}

#[test]
fn chinese_in_the_encodings_that_devices_use() {
    let name_gb = b"\xd5\xc5\xc8\xfd";
    for declared in ["gb2312", "utf-8"] {
        let head =
            format!("<?xml version=\"1.0\" encoding=\"{declared}\"?><Event attribute=\"RING\"><ext id=\"");
        let body = [head.as_bytes(), name_gb, b"\"/></Event>"].concat();
        let facts = one(Dialect::Om, &body).statement.facts;
        assert_eq!(facts, [Fact::Call(Box::new(call(Happening::Ringing, vec![ext("张三")])))]);
    }
}

#[test]
fn elements_and_attributes_in_any_case() {
    let body = "<EVENT ATTRIBUTE='ring'><EXT ID='200'></EXT></EVENT>";
    assert_eq!(om_facts(body), [Fact::Call(Box::new(call(Happening::Ringing, vec![ext("200")])))]);
}

#[test]
fn encoding_is_the_way_back() {
    let body = format!("{DECLARATION}{EVENT}{AUTH}");
    let message = dialect::decode(body.as_bytes()).expect("well formed").remove(0);
    let written = dialect::encode(&message);
    assert_eq!(dialect::decode(&written).expect("our own"), [message]);
}
