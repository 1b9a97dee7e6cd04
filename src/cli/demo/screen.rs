//! The live view on a terminal. q, Esc or Ctrl-C ends it; the screen is restored however it ends.

use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::time::Instant;

use super::snapshot::Snapshot;
use super::{Args, Demo, panels};
use crate::cli::signals::Stop;

/// How often keys are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often the picture is drawn anew.
const REDRAW: Duration = Duration::from_millis(250);

/// The terminal; its screen is restored when it goes, also on an error.
struct Screen(Option<DefaultTerminal>);

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that was closed cannot be restored, and there is nobody to be told. It is forgotten, for
        // its own drop would complain on stderr, which is gone too, and panic.
        if let Some(mut terminal) = self.0.take()
            && terminal.show_cursor().is_err()
        {
            std::mem::forget(terminal);
        }
        let _ = ratatui::try_restore();
    }
}

/// Shows it until it is told to stop.
pub(super) async fn show(demo: &Demo, args: &Args, stop: &mut Stop) -> anyhow::Result<()> {
    let mut screen = Screen(Some(ratatui::try_init()?));
    let mut snapshot = Snapshot::default();
    let end = args.run_for.map(|run_for| Instant::from_std(demo.started) + run_for);
    let mut draw_at = Instant::now();
    loop {
        if Instant::now() >= draw_at {
            snapshot.refresh(demo).await;
            if let Some(terminal) = &mut screen.0 {
                terminal.draw(|frame| panels::draw(frame, &snapshot, demo))?;
            }
            draw_at = Instant::now() + REDRAW;
        }
        match pressed()? {
            Pressed::Quit => return Ok(()),
            Pressed::Other => draw_at = Instant::now(),
            Pressed::Nothing => {}
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = stop.requested() => return Ok(()),
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
    }
}

enum Pressed {
    Nothing,
    /// A key without a meaning, or the terminal has another size.
    Other,
    Quit,
}

/// What came from the terminal; does not wait.
fn pressed() -> std::io::Result<Pressed> {
    let mut pressed = Pressed::Nothing;
    while event::poll(Duration::ZERO)? {
        pressed = Pressed::Other;
        let Event::Key(key) = event::read()? else { continue };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let quits = match key.code {
            KeyCode::Char('c' | 'd') => control,
            KeyCode::Char('q') | KeyCode::Esc => true,
            _ => false,
        };
        if quits && key.kind != KeyEventKind::Release {
            return Ok(Pressed::Quit);
        }
    }
    Ok(pressed)
}
