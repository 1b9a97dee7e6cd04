//! What configures a device: extensions, ring groups, voice menus, voice files, system parameters.
//!
//! Changes are commands like any other and are answered like them. What the reports do not tell (menus, voice files,
//! parameters) is read by asking the device.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use switchroom_domain::Text;
use switchroom_domain::command::{Command, Distribution, ExtensionSettings, Target, TargetKind};
use switchroom_domain::reply::{MenuStatus, Reply, Status};
use switchroom_domain::view::{CommandState, CommandView};
use switchroom_protocol::om::parameters;
use utoipa::ToSchema;

use super::State;
use super::auth::{Caller, Role};
use super::commands::{Act, How, carry_out, may, replayed, take};
use super::error::{Kind, Problem, ProblemBody};
use super::input::Params;
use super::view::device;
use crate::devices::Device;

/// Who may have a device asked.
const READERS: &[Role] = &[Role::Viewer, Role::Operator, Role::Supervisor, Role::Admin];

/// Asks the device and gives what it says.
async fn asked(
    state: &State,
    caller: &Caller,
    device: &Arc<Device>,
    question: Command,
) -> Result<Reply, Problem> {
    let view = carry_out(state, caller, device, question, How::default()).await?;
    reply_of(view)
}

/// A settled command's answer.
fn reply_of(view: CommandView) -> Result<Reply, Problem> {
    let impossible = view.error.as_ref().is_some_and(|error| error.kind == "impossible");
    let reason =
        view.error.map_or_else(|| "the device has not answered yet".to_owned(), |e| e.reason.to_string());
    if impossible {
        return Err(Problem::new(Kind::Conflict, reason));
    }
    match (view.state, view.reply) {
        (CommandState::Succeeded, Some(reply)) => Ok(reply),
        (CommandState::Failed, Some(_)) => Err(Problem::new(Kind::DeviceRefused, reason)),
        (CommandState::Failed, None) => Err(Problem::new(Kind::DeviceSilent, reason)),
        _ => Err(Problem::new(Kind::DeviceTimeout, reason)),
    }
}

async fn status(
    state: &State,
    caller: &Caller,
    device: &Arc<Device>,
    target: Target,
) -> Result<Status, Problem> {
    match asked(state, caller, device, Command::Query { target }).await? {
        Reply::Status(status) => Ok(*status),
        _ => Err(Problem::new(Kind::DeviceRefused, "the device answers something else than was asked")),
    }
}

/// Changes settings of an extension; what is absent stays. Ring groups are a set: those that are given are all.
#[utoipa::path(patch, path = "/api/v1/devices/{device}/extensions/{number}", tag = "configuration",
    params(("device" = String, Path), ("number" = String, Path)),
    request_body(content = Object, example = json!({"do_not_disturb": true, "forward": {"type": "off"}})),
    responses((status = 202, body = CommandView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
pub(super) async fn change_extension(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<ExtensionSettings>,
) -> Result<HttpResponse, Problem> {
    let (id, number) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    if let Some(answer) = replayed(&state, &caller, &act.how).await? {
        return Ok(answer);
    }
    let command =
        |line_id: Text, settings| Command::AssignExtension { line_id, settings: Box::new(settings) };
    let settings = act.body;
    let checked = command("Phone 1".into(), settings.clone());
    may(&caller, &checked)?;
    checked.check().map_err(crate::commands::NotTaken::from)?;
    // The device knows extensions by their line.
    let target = Target::one(TargetKind::Extension, number.as_str());
    let known = status(&state, &caller, &device, target).await?.extensions.into_iter().next();
    let known = known.ok_or_else(|| no_such("extension", &number))?;
    let line_id = known.line_id.ok_or_else(|| {
        Problem::new(Kind::DeviceRefused, format!("the device does not tell the line of extension {number}"))
    })?;
    take(&state, &caller, &device, command(line_id, settings), act.how).await
}

fn no_such(what: &str, id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    Problem::new(Kind::NotFound, format!("the device has no {what} {id:?}"))
}

fn number(what: &'static str, text: &str) -> Result<u16, Problem> {
    text.parse().map_err(|_| no_such(what, text))
}

/// A ring group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Its members, all of them, in order; none clears it.
    #[schema(value_type = Vec<String>)]
    members: Vec<Text>,
    /// `sequential`, `circular` or `group` (all at once).
    #[schema(value_type = Option<String>)]
    distribution: Option<Distribution>,
    /// What waiting callers hear.
    #[schema(value_type = Option<String>)]
    voice_file: Option<Text>,
}

/// Sets a ring group.
#[utoipa::path(put, path = "/api/v1/devices/{device}/groups/{group}", tag = "configuration", request_body = Group,
    params(("device" = String, Path), ("group" = u16, Path)),
    responses((status = 202, body = CommandView), (status = 422, body = ProblemBody)))]
pub(super) async fn put_group(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<Group>,
) -> Result<HttpResponse, Problem> {
    let (id, group) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let Group { members, distribution, voice_file } = act.body;
    let command = Command::AssignGroup { group: number("group", &group)?, members, distribution, voice_file };
    may(&caller, &command)?;
    take(&state, &caller, &device, command, act.how).await
}

/// A voice menu.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Menu {
    /// What it plays; several files are joined with `+`.
    #[schema(value_type = Option<String>)]
    voice_file: Option<Text>,
    /// How often, 0 for ever.
    repeat: Option<u16>,
    /// After how many keys the input is reported.
    info_length: Option<u8>,
    /// The key that ends the input.
    #[schema(value_type = Option<String>)]
    exit: Option<Text>,
}

/// A voice menu as the device describes it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MenuView {
    menu: u16,
    #[schema(value_type = Option<String>)]
    voice_file: Option<Text>,
    repeat: Option<u16>,
    info_length: Option<u8>,
    #[schema(value_type = Option<String>)]
    exit: Option<Text>,
    /// How many callers hear it now.
    callers: usize,
}

impl From<MenuStatus> for MenuView {
    fn from(menu: MenuStatus) -> Self {
        let MenuStatus { menu, voice_file, repeat, info_length, exit, with } = menu;
        Self { menu, voice_file, repeat, info_length, exit, callers: with.len() }
    }
}

/// A list that is not paged: a device has few of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct All<T: ToSchema> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

fn all<T: ToSchema>(items: Vec<T>) -> web::Json<All<T>> {
    web::Json(All { items, next_cursor: None })
}

/// The voice menus, as the device tells now.
#[utoipa::path(get, path = "/api/v1/devices/{device}/menus", tag = "configuration", params(("device" = String, Path)),
    responses((status = 200, body = All<MenuView>), (status = 503, body = ProblemBody)))]
pub(super) async fn menus(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<All<MenuView>>, Problem> {
    let device = device(&state, &caller, &path)?;
    caller.require(READERS)?;
    let status = status(&state, &caller, &device, Target::all(TargetKind::Menu)).await?;
    Ok(all(status.menus.into_iter().map(MenuView::from).collect()))
}

/// One voice menu, as the device tells now.
#[utoipa::path(get, path = "/api/v1/devices/{device}/menus/{menu}", tag = "configuration",
    params(("device" = String, Path), ("menu" = u16, Path)),
    responses((status = 200, body = MenuView), (status = 404, body = ProblemBody)))]
pub(super) async fn menu(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<web::Json<MenuView>, Problem> {
    let (id, menu) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    caller.require(READERS)?;
    let wanted = number("menu", &menu)?;
    let status = status(&state, &caller, &device, Target::one(TargetKind::Menu, menu.as_str())).await?;
    let found = status.menus.into_iter().find(|found| found.menu == wanted);
    Ok(web::Json(found.ok_or_else(|| no_such("menu", &menu))?.into()))
}

/// Sets a voice menu.
#[utoipa::path(put, path = "/api/v1/devices/{device}/menus/{menu}", tag = "configuration", request_body = Menu,
    params(("device" = String, Path), ("menu" = u16, Path)),
    responses((status = 202, body = CommandView), (status = 422, body = ProblemBody)))]
pub(super) async fn put_menu(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<Menu>,
) -> Result<HttpResponse, Problem> {
    let Menu { voice_file, repeat, info_length, exit } = act.body;
    assign_menu(&state, &caller, &path, act.how, |menu| Command::AssignMenu {
        menu,
        voice_file,
        repeat,
        info_length,
        exit,
    })
    .await
}

/// Clears a voice menu: the device has it, but it plays nothing.
#[utoipa::path(delete, path = "/api/v1/devices/{device}/menus/{menu}", tag = "configuration",
    params(("device" = String, Path), ("menu" = u16, Path)),
    responses((status = 202, body = CommandView), (status = 422, body = ProblemBody)))]
pub(super) async fn remove_menu(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<super::call_actions::Nothing>,
) -> Result<HttpResponse, Problem> {
    assign_menu(&state, &caller, &path, act.how, |menu| Command::AssignMenu {
        menu,
        voice_file: None,
        repeat: None,
        info_length: None,
        exit: None,
    })
    .await
}

async fn assign_menu(
    state: &State,
    caller: &Caller,
    path: &(String, String),
    how: How,
    command: impl FnOnce(u16) -> Command,
) -> Result<HttpResponse, Problem> {
    let device = device(state, caller, &path.0)?;
    let command = command(number("menu", &path.1)?);
    may(caller, &command)?;
    take(state, caller, &device, command, how).await
}

/// A voice file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VoiceFile {
    #[schema(value_type = String)]
    name: Text,
}

/// The device's voice files.
#[utoipa::path(get, path = "/api/v1/devices/{device}/voice-files", tag = "configuration", params(("device" = String, Path)),
    responses((status = 200, body = All<VoiceFile>), (status = 422, body = ProblemBody)))]
pub(super) async fn voice_files(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<All<VoiceFile>>, Problem> {
    let device = device(&state, &caller, &path)?;
    may(&caller, &Command::QueryVoiceFiles {})?;
    match asked(&state, &caller, &device, Command::QueryVoiceFiles {}).await? {
        Reply::Status(status) => {
            let names = status.voice_files.unwrap_or_default();
            Ok(all(names.into_iter().map(|name| VoiceFile { name }).collect()))
        }
        _ => Ok(all(Vec::new())),
    }
}

/// Removes a voice file.
#[utoipa::path(delete, path = "/api/v1/devices/{device}/voice-files/{name}", tag = "configuration",
    params(("device" = String, Path), ("name" = String, Path)),
    responses((status = 202, body = CommandView), (status = 422, body = ProblemBody)))]
pub(super) async fn remove_voice_file(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<super::call_actions::Nothing>,
) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let command = Command::RemoveVoiceFiles { files: vec![name.into()] };
    may(&caller, &command)?;
    take(&state, &caller, &device, command, act.how).await
}

/// A system parameter.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParameterView {
    /// Its name.
    name: &'static str,
    /// The device's number of it.
    id: u16,
    /// Each line has one.
    per_line: bool,
    /// What it does.
    meaning: &'static str,
    /// What it may be.
    range: String,
    /// What it is unless it was set.
    default: &'static str,
    /// What it is; a password is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    value: Option<Text>,
}

fn described(parameter: &'static parameters::Parameter, value: Option<Text>) -> ParameterView {
    let masked =
        value.map(|value| if parameter.is_secret() { Text::const_new(crate::commands::MASK) } else { value });
    ParameterView {
        name: parameter.name,
        id: parameter.id,
        per_line: parameter.per_line,
        meaning: parameter.meaning,
        range: parameter.kind.range(),
        default: parameter.default,
        value: masked,
    }
}

/// The system parameters that a device has, and what they mean; their values are read one by one.
#[utoipa::path(get, path = "/api/v1/devices/{device}/parameters", tag = "configuration", params(("device" = String, Path)),
    responses((status = 200, body = All<ParameterView>), (status = 403, body = ProblemBody)))]
pub(super) async fn parameters(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<All<ParameterView>>, Problem> {
    device(&state, &caller, &path)?;
    caller.require(&[Role::Admin])?;
    Ok(all(parameters::ALL.iter().map(|parameter| described(parameter, None)).collect()))
}

/// Which line.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfLine {
    /// The line, for a parameter that each line has.
    #[param(value_type = Option<String>)]
    line_id: Option<Text>,
}

fn parameter_of(name: &str) -> Result<&'static parameters::Parameter, Problem> {
    parameters::find(name).ok_or_else(|| no_such("system parameter", name))
}

/// Reads a system parameter.
#[utoipa::path(get, path = "/api/v1/devices/{device}/parameters/{name}", tag = "configuration",
    params(("device" = String, Path), ("name" = String, Path), OfLine),
    responses((status = 200, body = ParameterView), (status = 404, body = ProblemBody)))]
pub(super) async fn parameter(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    Params(OfLine { line_id }): Params<OfLine>,
) -> Result<web::Json<ParameterView>, Problem> {
    let (id, name) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let parameter = parameter_of(&name)?;
    let command = Command::ReadParameter { name: parameter.name.into(), line_id };
    may(&caller, &command)?;
    match asked(&state, &caller, &device, command).await? {
        Reply::Parameter { value: Some(value), .. } => Ok(web::Json(described(parameter, Some(value)))),
        _ => Err(Problem::new(
            Kind::Incapable,
            format!("the device does not know {}: its firmware is too old for it", parameter.name),
        )),
    }
}

/// A parameter's value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewValue {
    /// The value, in the device's own words.
    #[schema(value_type = String)]
    value: Text,
    /// The line, for a parameter that each line has.
    #[schema(value_type = Option<String>)]
    line_id: Option<Text>,
}

/// Writes a system parameter.
#[utoipa::path(put, path = "/api/v1/devices/{device}/parameters/{name}", tag = "configuration", request_body = NewValue,
    params(("device" = String, Path), ("name" = String, Path)),
    responses((status = 202, body = CommandView), (status = 422, body = ProblemBody)))]
pub(super) async fn put_parameter(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<(String, String)>,
    act: Act<NewValue>,
) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let device = device(&state, &caller, &id)?;
    let NewValue { value, line_id } = act.body;
    let parameter = parameter_of(&name)?;
    let command = Command::WriteParameter { name: parameter.name.into(), value, line_id };
    may(&caller, &command)?;
    take(&state, &caller, &device, command, act.how).await
}

/// Something that was assigned to a device, and is given back to it when it starts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DesiredView {
    /// `extension`, `group` or `menu`.
    kind: String,
    /// Which: an extension's line, a group's or menu's number.
    key: String,
    /// The command that assigns it.
    #[schema(value_type = Object)]
    command: Command,
    /// When the device last took it.
    #[schema(value_type = String, format = DateTime)]
    applied_at: switchroom_domain::time::Timestamp,
    /// Why it could not be given back, the last time.
    error: Option<String>,
}

/// What was assigned to the device and is given back when it starts: it forgets what commands assign.
#[utoipa::path(get, path = "/api/v1/devices/{device}/desired", tag = "configuration", params(("device" = String, Path)),
    responses((status = 200, body = All<DesiredView>), (status = 404, body = ProblemBody)))]
pub(super) async fn desired(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<web::Json<All<DesiredView>>, Problem> {
    let device = device(&state, &caller, &path)?;
    caller.require(super::commands::KEEPERS)?;
    caller.require_all_extensions()?;
    let id = device.settings.id.clone();
    let found = state.services.reader.query(move |c| crate::storage::desired::of_device(c, &id)).await?;
    let view = |desired: crate::storage::desired::Desired| {
        let crate::storage::desired::Desired { kind, key, command, applied_at, error, .. } = desired;
        DesiredView { kind, key, command, applied_at, error }
    };
    Ok(all(found.into_iter().map(view).collect()))
}
