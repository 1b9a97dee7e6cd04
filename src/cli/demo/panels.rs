//! The parts of the live view: header, devices, live calls, queues, events. They fit 80 × 24 and use what more
//! there is.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};
use switchroom_domain::event::{Event, EventKind};
use switchroom_domain::time::Timestamp;
use switchroom_domain::view::{CallState, CallView, LegKind};

use super::Demo;
use super::snapshot::Snapshot;
use crate::cli::duration::clock;
use crate::cli::table::printable;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, demo: &Demo) {
    let devices = u16::try_from(snapshot.devices.len()).unwrap_or(u16::MAX).saturating_add(2);
    let height = frame.area().height;
    // Devices get at most 40 percent, but never less than eight lines; the rest is shared.
    let devices = devices.min((height * 2 / 5).max(8));
    let [header, devices, live, events] = Layout::vertical([
        Constraint::Length(4),
        Constraint::Length(devices),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ])
    .areas(frame.area());
    let [calls, queues] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(21)]).areas(live);
    frame.render_widget(Paragraph::new(head(snapshot, demo)), header);
    draw_devices(frame, devices, snapshot);
    draw_calls(frame, calls, snapshot);
    draw_queues(frame, queues, snapshot);
    draw_events(frame, events, snapshot);
}

fn head(snapshot: &Snapshot, demo: &Demo) -> Vec<Line<'static>> {
    let link = Style::new().fg(Color::Cyan);
    let ran = i64::try_from(demo.started.elapsed().as_secs()).unwrap_or_default();
    vec![
        Line::from(vec![
            "Switchroom".bold(),
            format!(" demo, running for {}", clock(ran)).into(),
            "   q ends it".dim(),
        ]),
        Line::from(vec!["Open   ".dim(), Span::styled(demo.login(), link)]),
        Line::from(vec![
            "Docs   ".dim(),
            Span::styled(format!("{}/docs", demo.base()), link),
            "   devices report to ".dim(),
            Span::styled(demo.app.reports_address.to_string(), link),
        ]),
        Line::from(snapshot.summary("  ")),
    ]
}

fn panel(title: String) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(title.reset().bold())
}

/// Cells beyond the panel are not built.
fn fits<T>(area: Rect, taken: u16, items: &[T]) -> &[T] {
    let lines = usize::from(area.height.saturating_sub(taken));
    items.get(..lines.min(items.len())).unwrap_or(items)
}

fn draw_devices(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let heading = ["", "name", "dialect", "", "idle", "ring", "busy", "off", "calls", "waiting"];
    let number = |count: usize, color: Color| {
        let text = Line::from(count.to_string()).right_aligned();
        Cell::from(if count == 0 { text.dim() } else { text.fg(color) })
    };
    let rows = fits(area, 2, &snapshot.devices).iter().map(|device| {
        let state = if device.up { "up".green() } else { "unknown".dim() };
        Row::new([
            Cell::from(device.id.clone().bold()),
            Cell::from(device.name.clone()),
            Cell::from(device.dialect.dim()),
            Cell::from(state),
            number(device.idle, Color::Reset),
            number(device.ringing, Color::Yellow),
            number(device.busy, Color::Green),
            number(device.offline, Color::Red),
            number(device.calls, Color::Reset),
            number(device.waiting, Color::Magenta),
        ])
    });
    let widths = [8, 17, 8, 8, 5, 5, 5, 5, 6, 8].map(Constraint::Length);
    let align = |(i, text): (usize, &'static str)| {
        let line = Line::from(text.dim());
        Cell::from(if i >= 4 { line.right_aligned() } else { line })
    };
    let header = Row::new(heading.into_iter().enumerate().map(align));
    let table = Table::new(rows, widths).column_spacing(0).header(header);
    frame.render_widget(table.block(panel(format!("Devices {} ", snapshot.devices.len()))), area);
}

fn draw_calls(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let rows = fits(area, 1, &snapshot.calls).iter().map(|call| {
        Row::new([
            Cell::from(call.device.to_string().dim()),
            Cell::from(parties(call)),
            Cell::from(Span::styled(call.state.as_str(), color_of(call.state))),
            Cell::from(Line::from(since(call)).right_aligned()),
            Cell::from(format!(" {}", who(call))),
        ])
    });
    let widths = [
        Constraint::Length(6),
        Constraint::Length(26),
        Constraint::Length(8),
        Constraint::Length(5),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths).column_spacing(1);
    frame.render_widget(table.block(panel(format!("Live calls {} ", snapshot.calls.len()))), area);
}

/// `13012345678 → 200`.
fn parties(call: &CallView) -> String {
    let name = |number: &Option<switchroom_domain::Text>| match number.as_deref() {
        Some(number) if !number.is_empty() => printable(number),
        _ => "…".to_owned(),
    };
    format!("{} → {}", name(&call.from), name(&call.to))
}

/// The extensions that take part.
fn who(call: &CallView) -> String {
    let extensions = call.legs.iter().filter(|leg| leg.kind == LegKind::Extension);
    let numbers: Vec<String> = extensions.filter_map(|leg| leg.number.as_deref()).map(printable).collect();
    numbers.join(" ")
}

/// How long it is what it is: since the answer, or since the start.
fn since(call: &CallView) -> String {
    let since = call.answered_at.unwrap_or(call.started_at);
    clock((now().0 - since.0) / 1000)
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

fn color_of(state: CallState) -> Style {
    let color = match state {
        CallState::Talking => Color::Green,
        CallState::Ringing => Color::Yellow,
        CallState::Queued | CallState::Held => Color::Magenta,
        CallState::InMenu => Color::Blue,
        _ => Color::Reset,
    };
    Style::new().fg(color)
}

fn draw_queues(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let lines: Vec<Line<'_>> = snapshot
        .queues
        .iter()
        .flat_map(|line| {
            let title = format!("{} queue {}", line.device, printable(&line.queue.queue_id));
            let title = Line::from(Span::styled(title, Color::Magenta));
            let callers = line.queue.waiting.iter().map(|waiting| {
                let from = waiting.from.as_deref().map_or_else(|| "…".to_owned(), printable);
                let waits = clock((now().0 - waiting.since.0) / 1000);
                Line::from(format!(" {}. {from} {waits}", waiting.position))
            });
            std::iter::once(title).chain(callers)
        })
        .collect();
    let lines = if lines.is_empty() { vec![Line::from("nobody waits".dim())] } else { lines };
    let block = panel(format!(" Waiting {} ", snapshot.waiting()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let shown = usize::from(area.height.saturating_sub(1));
    let skipped = snapshot.events.len().saturating_sub(shown);
    let lines: Vec<Line<'_>> =
        snapshot.events.iter().skip(skipped).map(|published| event_line(&published.sealed.event)).collect();
    frame.render_widget(Paragraph::new(lines).block(panel("Events ".to_owned())), area);
}

fn event_line(event: &Event) -> Line<'static> {
    let mut time = String::new();
    event.at.write_rfc3339(&mut time);
    let time = time.get(11..19).unwrap_or_default().to_owned();
    Line::from(vec![
        format!("{time} ").dim(),
        format!("{:<7}", event.device.as_str()).into(),
        Span::styled(format!("{:<24}", event.kind.as_str()), kind_style(event.kind)),
        told(event).into(),
    ])
}

fn kind_style(kind: EventKind) -> Style {
    let family = kind.as_str().split('.').next().unwrap_or_default();
    match family {
        "call" => Style::new().fg(Color::Green),
        "queue" => Style::new().fg(Color::Magenta),
        "cdr" | "conversation" | "recording" => Style::new().fg(Color::Blue),
        "gap" | "report" => Style::new().fg(Color::Red),
        "device" => Style::new().add_modifier(Modifier::BOLD),
        _ => Style::new().fg(Color::DarkGray),
    }
}

/// What an event says, in a few words.
fn told(event: &Event) -> String {
    let data = &event.data;
    let mut words = Vec::new();
    match (&data.from, &data.to) {
        (Some(from), Some(to)) => words.push(format!("{from} → {to}")),
        (Some(one), None) | (None, Some(one)) => words.push(one.to_string()),
        (None, None) => {}
    }
    // `call.ringing` needs no word more to say that it rings.
    let state = data.state.clone().filter(|state| !event.kind.as_str().ends_with(state.as_str()));
    let named = [
        ("extension ", &data.extension),
        ("", &state),
        ("queue ", &data.queue_id),
        ("digits ", &data.digits),
        ("", &data.reason),
        ("", &data.outcome),
    ];
    for (label, value) in named {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            words.push(format!("{label}{value}"));
        }
    }
    printable(&words.join("  "))
}
