//! The example requests of the vendor's manual: chapter, document, and the command as the REST interface has it.
//!
//! Documents are without declaration and blanks between elements. As printed, but for `No_Disturb` in 2.1.2.1:
//! the example has `no`, the table beside it `off`.

pub(crate) const REQUESTS: &[(&str, &str, &str)] = &[
    (
        "2.1.1.1",
        r##"<Control attribute="Query"><DeviceInfo/></Control>"##,
        r##"{"command":"query","target":{"device":true}}"##,
    ),
    (
        "2.1.1.2",
        r##"<Control attribute="Query"><ext id="208"/></Control>"##,
        r##"{"command":"query","target":{"extension":"208"}}"##,
    ),
    (
        "2.1.1.3",
        r##"<Control attribute="Query"><trunk id="2174"/></Control>"##,
        r##"{"command":"query","target":{"trunk":"2174"}}"##,
    ),
    (
        "2.1.1.4",
        r##"<Control attribute="Query"><visitor id="1"/></Control>"##,
        r##"{"command":"query","target":{"visitor":"1"}}"##,
    ),
    (
        "2.1.1.5",
        r##"<Control attribute="Query"><outer id="5"/></Control>"##,
        r##"{"command":"query","target":{"outer":"5"}}"##,
    ),
    (
        "2.1.1.6",
        r##"<Control attribute="Query"><group id="1"/></Control>"##,
        r##"{"command":"query","target":{"group":"1"}}"##,
    ),
    (
        "2.1.1.7",
        r##"<Control attribute="Query"><menu id="1"/></Control>"##,
        r##"{"command":"query","target":{"menu":"1"}}"##,
    ),
    (
        "2.1.2.1",
        r##"<Control attribute="Assign"><ext lineid="IPPhone 50"><id>208</id><staffid>1304081</staffid><mobile>18603752800</mobile><group>1</group><group>2</group><voicefile>busy</voicefile><email>admin@hotmail.com</email><Call_Restriction>3</Call_Restriction><Call_Pickup>no</Call_Pickup><No_Disturb>off</No_Disturb><Fwd_Type>0</Fwd_Type><Fwd_Number>18603752801</Fwd_Number><Fork>18603752802</Fork><WAKEUP>06:30</WAKEUP><record>on</record><autoAnswer>yes </autoAnswer><api>7</api></ext></Control>"##,
        r##"{"command":"assign_extension","line_id":"IPPhone 50","settings":{"id":"208","staff_id":"1304081","mobile":"18603752800","email":"admin@hotmail.com","groups":[1,2],"voice_file":"busy","call_restriction":3,"call_pickup":false,"do_not_disturb":false,"forward":{"type":"off","number":"18603752801"},"fork":"18603752802","wake_up":"06:30","record":true,"auto_answer":true,"api":7}}"##,
    ),
    (
        "2.1.2.2",
        r##"<Control attribute="Assign"><group id="1"><voicefile>NewMorning</voicefile><distribution>sequential</distribution><ext>200</ext><ext>208</ext></group></Control>"##,
        r##"{"command":"assign_group","group":1,"members":["200","208"],"distribution":"sequential","voice_file":"NewMorning"}"##,
    ),
    (
        "2.1.2.2",
        r##"<Control attribute="Assign"><group id="1"></group></Control>"##,
        r##"{"command":"assign_group","group":1}"##,
    ),
    (
        "2.1.2.3",
        r##"<Control attribute="Assign"><menu id="1"><voicefile>welcome</voicefile><repeat>3</repeat><infolength>5</infolength><exit>#</exit></menu></Control>"##,
        r##"{"command":"assign_menu","menu":1,"voice_file":"welcome","repeat":3,"info_length":5,"exit":"#"}"##,
    ),
    (
        "2.1.3.1",
        r##"<Control attribute="Hold"><ext id="200"/></Control>"##,
        r##"{"command":"hold","extension":"200"}"##,
    ),
    (
        "2.1.3.2",
        r##"<Control attribute="Unhold"><ext id="200"/></Control>"##,
        r##"{"command":"unhold","extension":"200"}"##,
    ),
    (
        "2.1.4.1",
        r##"<Control attribute="Mute"><ext id="200"/></Control>"##,
        r##"{"command":"mute","extension":"200"}"##,
    ),
    (
        "2.1.4.2",
        r##"<Control attribute="Unmute"><ext id="200"/></Control>"##,
        r##"{"command":"unmute","extension":"200"}"##,
    ),
    (
        "2.1.5.1",
        r##"<Control attribute="Monitor"><ext id="200"/><ext id="208"/></Control>"##,
        r##"{"command":"monitor","extension":"200","target":"208"}"##,
    ),
    (
        "2.1.5.2",
        r##"<Control attribute="Talk"><ext id="201"/></Control>"##,
        r##"{"command":"talk","extension":"201"}"##,
    ),
    (
        "2.1.5.3",
        r##"<Control attribute="Listen"><ext id="201"/></Control>"##,
        r##"{"command":"listen","extension":"201"}"##,
    ),
    (
        "2.1.6",
        r##"<Control attribute="Bargein"><ext id="200"/><ext id="208"/></Control>"##,
        r##"{"command":"barge","extension":"200","target":"208"}"##,
    ),
    (
        "2.1.7",
        r##"<Control attribute="Clear"><ext id="200"/></Control>"##,
        r##"{"command":"clear","party":{"extension":"200"}}"##,
    ),
    (
        "2.1.7",
        r##"<Control attribute="Clear"><visitor id="2"/></Control>"##,
        r##"{"command":"clear","party":{"visitor":"2"}}"##,
    ),
    (
        "2.1.7",
        r##"<Control attribute="Clear"><outer id="20"/></Control>"##,
        r##"{"command":"clear","party":{"outer":"20"}}"##,
    ),
    (
        "2.2.1.1",
        r##"<Transfer attribute="Connect"><ext id="200"/><ext id="208"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"200"},"to":{"extension":"208"}}"##,
    ),
    (
        "2.2.1.2",
        r##"<Transfer attribute="Connect"><ext id="208"/><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"208"},"to":{"number":"13012345678"}}"##,
    ),
    (
        "2.2.1.2",
        r##"<Transfer attribute="Connect"><ext id="208"/><trunk id="50017"/><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"208"},"to":{"number":"13012345678","trunk":"50017"}}"##,
    ),
    (
        "2.2.1.2",
        r##"<Transfer attribute="Connect"><ext id="208"/><outer to="9,13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"208"},"to":{"number":"9,13012345678"}}"##,
    ),
    (
        "2.2.1.2",
        r##"<Transfer attribute="Connect"><ext id="208"/><outer to="13012345678,,1"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"208"},"to":{"number":"13012345678,,1"}}"##,
    ),
    (
        "2.2.1.3",
        r##"<Transfer attribute="Connect"><visitor id="14"/><ext id="200"/></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"14"},"to":{"extension":"200"}}"##,
    ),
    (
        "2.2.1.3",
        r##"<Transfer attribute="Connect"><visitor id="14"/><ext id="200"/><voicefile>silence+silence+connect</voicefile></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"14"},"to":{"extension":"200"},"voice_file":["silence","silence","connect"]}"##,
    ),
    (
        "2.2.1.4",
        r##"<Transfer attribute="Connect"><visitor id="3" /><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"3"},"to":{"number":"13012345678"}}"##,
    ),
    (
        "2.2.1.4",
        r##"<Transfer attribute="Connect"><visitor id="3" /><outer to="13012345678" display="18201008888" /></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"3"},"to":{"number":"13012345678","display":"18201008888"}}"##,
    ),
    (
        "2.2.1.5",
        r##"<Transfer attribute="Connect"><visitor id="41" /><menu id="1"/></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"41"},"to":{"menu":1}}"##,
    ),
    (
        "2.2.1.6",
        r##"<Transfer attribute="Connect"><outer id="14"/><ext id="200"/></Transfer>"##,
        r##"{"command":"connect","from":{"outer":"14"},"to":{"extension":"200"}}"##,
    ),
    (
        "2.2.1.7",
        r##"<Transfer attribute="Connect"><outer id="14" /><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"outer":"14"},"to":{"number":"13012345678"}}"##,
    ),
    (
        "2.2.1.8",
        r##"<Transfer attribute="Connect"><outer id="41" /><menu id="1"/></Transfer>"##,
        r##"{"command":"connect","from":{"outer":"41"},"to":{"menu":1}}"##,
    ),
    (
        "2.2.1.9",
        r##"<Transfer attribute="Connect"><menu id="1"/><ext id="200"/></Transfer>"##,
        r##"{"command":"connect","from":{"menu":1},"to":{"extension":"200"}}"##,
    ),
    (
        "2.2.1.10",
        r##"<Transfer attribute="Connect"><menu id="1"/><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"menu":1},"to":{"number":"13012345678"}}"##,
    ),
    (
        "2.2.1.11",
        r##"<Transfer attribute="Connect"><outer to="13012345678"/><outer to="02167103750"/></Transfer>"##,
        r##"{"command":"connect","from":{"number":"13012345678"},"to":{"number":"02167103750"}}"##,
    ),
    (
        "2.2.1.11",
        r##"<Transfer attribute="Connect"><outer to="13012345678" display="50018"/><outer to="02167103750" display="50019"/></Transfer>"##,
        r##"{"command":"connect","from":{"number":"13012345678","display":"50018"},"to":{"number":"02167103750","display":"50019"}}"##,
    ),
    (
        "2.2.1.12",
        r##"<Transfer attribute="Connect"><ext id="200" /><voicefile>welcome</voicefile></Transfer>"##,
        r##"{"command":"announce","party":{"extension":"200"},"voice_file":["welcome"]}"##,
    ),
    (
        "2.2.1.12",
        r##"<Transfer attribute="Connect"><visitor id="15" /><voicefile>welcome</voicefile></Transfer>"##,
        r##"{"command":"announce","party":{"visitor":"15"},"voice_file":["welcome"]}"##,
    ),
    (
        "2.2.1.12",
        r##"<Transfer attribute="Connect"><outer id="22" /><voicefile>welcome</voicefile></Transfer>"##,
        r##"{"command":"announce","party":{"outer":"22"},"voice_file":["welcome"]}"##,
    ),
    (
        "2.2.2.1",
        r##"<Transfer attribute="Queue"><visitor id="1"/><ext id="200"/></Transfer>"##,
        r##"{"command":"queue","visitor":"1","to":{"extension":"200"}}"##,
    ),
    (
        "2.2.2.2",
        r##"<Transfer attribute="Queue"><visitor id="1"/><group id="1"/></Transfer>"##,
        r##"{"command":"queue","visitor":"1","to":{"group":1}}"##,
    ),
    (
        "2.2.3",
        r##"<Transfer attribute="Conference"><ext id="212"/></Transfer>"##,
        r##"{"command":"conference","extension":"212"}"##,
    ),
    (
        "2.2.3",
        r##"<Transfer attribute="Connect"><ext id="212"/><ext id="213"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"212"},"to":{"extension":"213"}}"##,
    ),
    (
        "2.2.3",
        r##"<Control attribute="Hold"><ext id="212"/></Control>"##,
        r##"{"command":"hold","extension":"212"}"##,
    ),
    (
        "2.2.3",
        r##"<Transfer attribute="Connect"><ext id="212"/><ext id="214"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"212"},"to":{"extension":"214"}}"##,
    ),
    (
        "2.2.3",
        r##"<Transfer attribute="Conference"><ext id="212"/></Transfer>"##,
        r##"{"command":"conference","extension":"212"}"##,
    ),
    (
        "2.3.1",
        r##"<Manage attribute="Query" ><voicefile/></Manage>"##,
        r##"{"command":"query_voice_files"}"##,
    ),
    (
        "2.3.2",
        r##"<Manage attribute="Remove" ><voicefile>user_file1.pcm|user_file2.pcm</voicefile></Manage>"##,
        r##"{"command":"remove_voice_files","files":["user_file1.pcm","user_file2.pcm"]}"##,
    ),
    (
        "2.4",
        r##"<Notify attribute="Accept"><visitor id="1"/></Notify>"##,
        r##"{"command":"accept","visitor":"1"}"##,
    ),
    (
        "4.11.6",
        r##"<Control attribute="Assign"><menu id="1"><voicefile></voicefile></menu></Control>"##,
        r##"{"command":"assign_menu","menu":1}"##,
    ),
    (
        "4.11.6",
        r##"<Transfer attribute="Connect"><visitor id="41" /><menu id="1"/><voicefile>welcome</voicefile></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"41"},"to":{"menu":1},"voice_file":["welcome"]}"##,
    ),
    (
        "3.6.2",
        r##"<Transfer attribute="Connect"><ext id="208"/><trunk id="888" /><outer to="13012345678"/></Transfer>"##,
        r##"{"command":"connect","from":{"extension":"208"},"to":{"number":"13012345678","trunk":"888"}}"##,
    ),
    (
        "3.9",
        r##"<Transfer attribute="Connect"><visitor id="41" /><menu id="1"/><voicefile>user_1+2+user_2+3+user_3+5+user_4</voicefile></Transfer>"##,
        r##"{"command":"connect","from":{"visitor":"41"},"to":{"menu":1},"voice_file":["user_1","2","user_2","3","user_3","5","user_4"]}"##,
    ),
    (
        "3.15",
        r##"<Control attribute="Assign"><menu id="3"><voicefile>thanks</voicefile><repeat>1</repeat><exit>#</exit></menu></Control>"##,
        r##"{"command":"assign_menu","menu":3,"voice_file":"thanks","repeat":1,"exit":"#"}"##,
    ),
    (
        "4.13",
        r##"<Control attribute="Assign"><menu id="1"><voicefile>http://tts.newrocktech.com:9880/wav/20170203/1486091400698.pcm</voicefile><repeat>1</repeat><infolength>3</infolength><exit>#</exit></menu></Control>"##,
        r##"{"command":"assign_menu","menu":1,"voice_file":"http://tts.newrocktech.com:9880/wav/20170203/1486091400698.pcm","repeat":1,"info_length":3,"exit":"#"}"##,
    ),
];
