//! When to log in to a Yeastar, and when to send a heartbeat. Pure: time is an argument.

use std::time::Duration;

use switchroom_domain::Text;
use switchroom_domain::time::{Millis, Timestamp};
use switchroom_protocol::yeastar::session::{ATTEMPTS, Api, HEARTBEAT_EVERY, LOCKED_OUT_FOR, SessionReply};

/// How long it is waited before the next try: the first time, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Exchanges without an answer, in a row, after which the device counts as out of reach.
const SILENCES: u32 = 3;

/// What is to be done.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, for this long, unless something happens.
    Wait(Duration),
    /// Log in.
    Login,
    /// Send a heartbeat with this token.
    Heartbeat(Text),
    /// Nothing ever: the device would lock us out. Somebody has to mend the settings.
    GiveUp,
}

/// Leaves the token out.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wait(wait) => f.debug_tuple("Wait").field(wait).finish(),
            Self::Login => f.write_str("Login"),
            Self::Heartbeat(_) => f.write_str("Heartbeat(..)"),
            Self::GiveUp => f.write_str("GiveUp"),
        }
    }
}

/// A token that the device gave.
#[derive(Clone)]
struct Token {
    text: Text,
    /// When it was last known to live.
    renewed_at: Timestamp,
}

/// One device's login.
#[derive(Clone)]
pub(super) struct Session {
    silence: Duration,
    api: Api,
    token: Option<Token>,
    /// When the device last reported, was logged in to, or was asked whether it still knows us.
    quiet_since: Timestamp,
    /// It was asked, and has not reported since.
    was_asked: bool,
    /// Not before this.
    not_before: Option<(Timestamp, Duration)>,
    pause: Duration,
    wrong_passwords: u32,
    /// Exchanges in a row that were not answered.
    silences: u32,
    reachable: Option<bool>,
}

impl Session {
    /// Nobody is logged in yet; `silence`: how long a device may say nothing before it is asked.
    #[must_use]
    pub(super) const fn new(silence: Duration) -> Self {
        Self {
            silence,
            api: Api::V1,
            token: None,
            quiet_since: Timestamp(0),
            was_asked: false,
            not_before: None,
            pause: PAUSE.0,
            wrong_passwords: 0,
            silences: 0,
            reachable: None,
        }
    }

    /// The version of the interface to speak.
    #[must_use]
    pub(super) const fn api(&self) -> Api {
        self.api
    }

    /// The token, while somebody is logged in.
    #[must_use]
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.text.as_str())
    }

    /// Is somebody logged in, as far as is known?
    #[must_use]
    pub(super) const fn is_logged_in(&self) -> bool {
        self.token.is_some()
    }

    /// What is to be done now; `reported_at`: when the device's last report came.
    pub(super) fn next(&mut self, now: Timestamp, reported_at: Timestamp) -> Step {
        // One wrong password less than locks us out: behind our address others may want to log in, too.
        if self.wrong_passwords + 1 >= ATTEMPTS {
            return Step::GiveUp;
        }
        if reported_at > self.quiet_since {
            self.quiet_since = reported_at;
            self.was_asked = false;
        }
        if let Some((since, wait)) = self.not_before {
            if let Some(left) = left(since, wait, now) {
                return Step::Wait(left);
            }
            self.not_before = None;
        }
        let Some(token) = &self.token else { return Step::Login };
        // That may be long over, if this machine slept; the device's answer tells whether the token lives.
        let Some(alive) = left(token.renewed_at, HEARTBEAT_EVERY, now) else {
            return Step::Heartbeat(token.text.clone());
        };
        match left(self.quiet_since, self.silence, now) {
            Some(quiet) => Step::Wait(alive.min(quiet)),
            None if self.was_asked => Step::Login,
            None => Step::Heartbeat(token.text.clone()),
        }
    }

    /// The device answered a login. Says what is new of its being reachable.
    pub(super) fn logged_in(&mut self, now: Timestamp, reply: SessionReply) -> Option<bool> {
        self.token = None;
        match reply {
            SessionReply::Token(text) => {
                self.token = Some(Token { text, renewed_at: now });
                self.quiet_since = now;
                self.was_asked = false;
                self.wrong_passwords = 0;
                self.pause = PAUSE.0;
                return self.answered();
            }
            ref locked if locked.is_locked_out() => self.not_before = Some((now, LOCKED_OUT_FOR)),
            SessionReply::Refused { errno } => {
                match errno {
                    Some(10_032 | 20_003) => self.wrong_passwords += 1,
                    // It does not know this request: perhaps it knows the other version's.
                    Some(10_003) => self.api = if self.api == Api::V1 { Api::V2 } else { Api::V1 },
                    _ => {}
                }
                self.back_off(now);
            }
            // Welcome without a token: nothing can be kept alive with that.
            SessionReply::Ok => self.back_off(now),
        }
        self.answered()
    }

    /// The device answered a heartbeat. Says what is new of its being reachable.
    pub(super) fn kept_alive(&mut self, now: Timestamp, reply: &SessionReply) -> Option<bool> {
        match (reply, &mut self.token) {
            (SessionReply::Ok | SessionReply::Token(_), Some(token)) => {
                token.renewed_at = now;
                if let SessionReply::Token(text) = reply {
                    token.text = text.clone();
                }
                self.pause = PAUSE.0;
                if left(self.quiet_since, self.silence, now).is_none() {
                    // From now on it has the same time again, then it is logged in to anew.
                    self.quiet_since = now;
                    self.was_asked = true;
                }
            }
            (reply, _) => {
                self.token = None;
                if reply.is_locked_out() {
                    self.not_before = Some((now, LOCKED_OUT_FOR));
                } else if !reply.wants_login() {
                    self.back_off(now);
                }
            }
        }
        self.answered()
    }

    /// The device did not answer. Says what is new of its being reachable.
    pub(super) fn unanswered(&mut self, now: Timestamp) -> Option<bool> {
        self.token = None;
        self.back_off(now);
        self.silences = self.silences.saturating_add(1);
        (self.silences >= SILENCES).then(|| self.is_now(false)).flatten()
    }

    fn back_off(&mut self, now: Timestamp) {
        self.not_before = Some((now, self.pause));
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    fn answered(&mut self) -> Option<bool> {
        self.silences = 0;
        self.is_now(true)
    }

    fn is_now(&mut self, reachable: bool) -> Option<bool> {
        let is_new = self.reachable.replace(reachable) != Some(reachable);
        is_new.then_some(reachable)
    }
}

/// What is left of a time that began then; none once it is over, or if the clock was set back before its beginning.
fn left(since: Timestamp, lasts: Duration, now: Timestamp) -> Option<Duration> {
    let Millis(passed) = now.since(since);
    let passed = Duration::from_millis(u64::try_from(passed).ok()?);
    lasts.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(600);
    const NEVER: Timestamp = Timestamp(0);

    const fn at(seconds: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + seconds * 1000)
    }

    const fn refused(errno: u32) -> SessionReply {
        SessionReply::Refused { errno: Some(errno) }
    }

    fn seconds(wait: u64) -> Step {
        Step::Wait(Duration::from_secs(wait))
    }

    fn token(text: &'static str) -> SessionReply {
        SessionReply::Token(Text::const_new(text))
    }

    /// Logged in at 0.
    fn session() -> Session {
        let mut session = Session::new(SILENCE);
        assert_eq!(session.next(at(0), NEVER), Step::Login);
        assert_eq!(session.logged_in(at(0), token("t")), Some(true));
        session
    }

    #[test]
    fn a_token_is_kept_alive_while_reports_come() {
        let mut session = session();
        assert_eq!(session.next(at(0), NEVER), seconds(600));
        assert_eq!(session.next(at(500), at(499)), seconds(220));
        let heartbeat = Step::Heartbeat("t".into());
        assert_eq!(session.next(at(720), at(700)), heartbeat);
        assert_eq!(session.kept_alive(at(721), &SessionReply::Ok), None);
        assert_eq!(session.next(at(721), at(721)), seconds(600));
        assert_eq!(session.next(at(1441), at(1440)), heartbeat);
    }

    #[test]
    fn a_refused_token_leads_to_a_login_at_once() {
        for errno in [20_004, 20_006] {
            let mut session = session();
            assert_eq!(session.kept_alive(at(720), &refused(errno)), None);
            assert_eq!(session.next(at(720), at(719)), Step::Login);
        }
        let mut session = session();
        session.kept_alive(at(720), &refused(20_011));
        assert_eq!(session.next(at(720), at(719)), seconds(1));
        assert_eq!(session.next(at(721), at(719)), Step::Login);
    }

    #[test]
    fn a_silent_device_gets_a_heartbeat_then_a_login() {
        let mut session = session();
        assert_eq!(session.next(at(600), NEVER), Step::Heartbeat("t".into()));
        session.kept_alive(at(600), &SessionReply::Ok);
        assert_eq!(session.next(at(601), NEVER), seconds(599));
        assert_eq!(session.next(at(1200), NEVER), Step::Login);
        session.logged_in(at(1200), token("u"));
        assert_eq!(session.next(at(1200), NEVER), seconds(600));
        // A report in between begins it anew.
        assert_eq!(session.next(at(1800), NEVER), Step::Heartbeat("u".into()));
        session.kept_alive(at(1800), &SessionReply::Ok);
        assert_eq!(session.next(at(2000), at(1990)), seconds(520), "the next heartbeat");
        assert_eq!(session.next(at(2590), at(1990)), Step::Heartbeat("u".into()));
    }

    #[test]
    fn who_does_not_answer_is_tried_less_and_less() {
        let mut session = Session::new(SILENCE);
        let (mut now, mut told) = (0, Vec::new());
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(session.next(at(now), NEVER), Step::Login);
            told.extend(session.unanswered(at(now)));
            assert_eq!(session.next(at(now), NEVER), seconds(wait));
            now += i64::try_from(wait).expect("a short wait");
        }
        assert_eq!(told, [false], "once");
        assert_eq!(session.logged_in(at(now), token("t")), Some(true));
        assert_eq!(session.unanswered(at(now)), None, "once is not enough");
        assert_eq!(session.next(at(now), NEVER), seconds(1), "the pause is short again");
    }

    #[test]
    fn wrong_passwords_are_not_tried_until_the_device_locks_us_out() {
        let mut session = Session::new(SILENCE);
        let mut tries = 0;
        for now in 0..10_000 {
            if session.next(at(now), NEVER) == Step::Login {
                tries += 1;
                session.logged_in(at(now), refused(20_003));
            }
        }
        assert_eq!(tries, ATTEMPTS - 1);
        assert_eq!(session.next(at(20_000), NEVER), Step::GiveUp);
    }

    #[test]
    fn a_lockout_is_waited_for() {
        let mut session = Session::new(SILENCE);
        session.logged_in(at(0), refused(20_002));
        assert_eq!(session.next(at(1), NEVER), seconds(599));
        assert_eq!(session.next(at(600), NEVER), Step::Login);
    }

    #[test]
    fn the_other_version_is_tried_when_one_is_not_known() {
        let mut session = Session::new(SILENCE);
        assert_eq!(session.api(), Api::V1);
        session.logged_in(at(0), refused(10_003));
        assert_eq!(session.api(), Api::V2);
    }

    #[test]
    fn a_clock_that_is_set_does_not_stop_it() {
        let mut session = session();
        assert_eq!(session.next(at(-9000), NEVER), Step::Heartbeat("t".into()));
        session.unanswered(at(0));
        assert_eq!(session.next(at(-9000), NEVER), Step::Login);
        assert!(!format!("{:?}", Step::Heartbeat("secret".into())).contains("secret"));
    }
}
