//! `switchroom dial`.

use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};

use super::act::show;
use super::{Client, ServerArgs, block_on};

/// Options of `switchroom dial`.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "switchroom dial [OPTIONS] <FROM> <TO>",
    after_help = "Examples:\n  switchroom dial 200 201\n  switchroom dial 200 13012345678 --device hotel-1 --trunk 888\n  \
    switchroom dial out:13012345678 out:02167103750\n  switchroom dial menu:1 201\n\n\
    A number of up to six digits is an extension if the device has it, everything else an outside number; ext: and out: say \
    which. Who calls first is rung first or second as the device is set (API_CALLING)."
)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Who calls: an extension (200, ext:200), a voice menu (menu:1), or an outside number that is called first.
    #[arg(value_parser = party)]
    from: Party,
    /// Who is called: an extension or an outside number.
    #[arg(value_parser = party)]
    to: Party,
    /// The device that makes the call; needed unless only one fits.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// The trunk for an outside number.
    #[arg(long, value_name = "NUMBER")]
    trunk: Option<String>,
    /// An IP telephone answers by itself.
    #[arg(long)]
    auto_answer: bool,
}

/// Somebody, as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Party {
    Extension(String),
    Outside(String),
    Menu(String),
    /// An extension, if there is one with this number.
    Short(String),
}

/// Longest number that is taken for an extension if it is not said to be one.
const SHORT: usize = 6;

fn party(text: &str) -> Result<Party, String> {
    let text = text.trim();
    let (kind, number) = text.split_once(':').unwrap_or(("", text));
    if number.is_empty() || number.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("give an extension or a number, like 200 or 13012345678".to_owned());
    }
    let number = number.to_owned();
    match kind {
        "" if number.len() <= SHORT && number.bytes().all(|b| b.is_ascii_digit()) => Ok(Party::Short(number)),
        "" | "out" => Ok(Party::Outside(number)),
        "ext" => Ok(Party::Extension(number)),
        "menu" => Ok(Party::Menu(number)),
        _ => Err(format!("{kind:?} is none of ext, out and menu")),
    }
}

impl Args {
    /// Names a party for the server. Who calls is an extension if it may be one.
    fn named(&self, party: &Party) -> Value {
        match party {
            Party::Extension(number) | Party::Short(number) => json!({"extension": number}),
            Party::Menu(number) => json!({"menu": number}),
            Party::Outside(number) => match &self.trunk {
                Some(trunk) => json!({"number": number, "trunk": trunk}),
                None => json!({"number": number}),
            },
        }
    }

    async fn dial(&self, client: &Client) -> anyhow::Result<Value> {
        let extension = match &self.from {
            Party::Extension(number) | Party::Short(number) => Some(number.as_str()),
            Party::Outside(_) | Party::Menu(_) => None,
        };
        let device = client.device_for(self.device.as_deref(), extension).await?;
        let mut to = self.to.clone();
        if let Party::Short(number) = &to
            && !client.has_extension(&device, number).await?
        {
            to = Party::Outside(number.clone());
        }
        let outside = |party: &Party| matches!(party, Party::Outside(_));
        if self.trunk.is_some() && !outside(&self.from) && !outside(&to) {
            bail!(
                "--trunk is for outside numbers, and none is called here: leave it out, or write out: before the number"
            );
        }
        let mut body = json!({"device": device, "from": self.named(&self.from), "to": self.named(&to)});
        if self.auto_answer {
            body["auto_answer"] = json!(true);
        }
        let command = client.act(Method::POST, &["calls"], Some(&body)).await?;
        client.with_call(command).await
    }
}

/// Makes a call.
pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    show(&args.server, &block_on(args.dial(&client))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_what_they_look_like_or_what_they_are_said_to_be() {
        assert_eq!(party("200"), Ok(Party::Short("200".into())));
        assert_eq!(party(" ext:200 "), Ok(Party::Extension("200".into())));
        assert_eq!(party("13012345678,,1"), Ok(Party::Outside("13012345678,,1".into())));
        assert_eq!(party("out:110"), Ok(Party::Outside("110".into())));
        assert_eq!(party("menu:1"), Ok(Party::Menu("1".into())));
        for wrong in ["", "ext:", "fax:1", "2 00"] {
            assert!(party(wrong).is_err(), "{wrong}");
        }
    }
}
