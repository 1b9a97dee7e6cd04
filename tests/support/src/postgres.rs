//! A PostgreSQL server of the tests' own: in a temporary folder, at a Unix socket, from whatever version Debian has
//! installed. `initdb` refuses root, so as root it runs as the user `postgres`.
//!
//! It ends with the process that started it, however that ends: a shell beside it waits for the end of a pipe.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Starting takes no longer, even on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// A server.
pub struct Server {
    bin: PathBuf,
    folder: PathBuf,
    /// Of its socket's name, and the TCP port if it has one.
    port: u16,
    /// As whom it runs, if not as us.
    user: Option<(u32, u32)>,
    running: Option<Child>,
}

impl Server {
    /// The one that all tests of a process share.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not start: the tests that want it cannot be run.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of its own, which can be stopped.
    ///
    /// # Panics
    /// As [`Server::shared`].
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(5432, "", &[])
    }

    /// One with settings and files (name, content) in its folder, at a port.
    ///
    /// # Panics
    /// As [`Server::shared`].
    #[must_use]
    pub fn start_with(port: u16, settings: &str, files: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::{PermissionsExt, chown};
        let bin = bin();
        let user = user();
        let folder = tempfile::Builder::new().prefix("swr-pg-").tempdir_in("/tmp").expect("a folder").keep();
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).expect("the folder is given away");
        }
        let mut server = Self { bin, folder, port, user, running: None };
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=switchroom", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--no-sync", "--pgdata"])
            .arg(server.folder.join("data"))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let always = "listen_addresses = ''\nmax_connections = 300\nshared_buffers = '64MB'\n\
                        # What is tested is lost processes and connections, not lost power.\nfsync = off\n";
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(server.folder.join("data/postgresql.conf"))
            .expect("its settings");
        writeln!(
            file,
            "unix_socket_directories = '{}'\nport = {port}\n{always}\n{settings}",
            server.folder.display()
        )
        .expect("it writes");
        for (name, content) in files {
            let path = server.folder.join("data").join(name);
            std::fs::write(&path, content).expect("it writes");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is its owner's");
            if let Some((uid, gid)) = server.user {
                chown(&path, Some(uid), Some(gid)).expect("the file is given away");
            }
        }
        server.run();
        server
    }

    fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(self.bin.join(program));
        self.as_user(&mut command);
        command.current_dir(&self.folder).process_group(0);
        command
    }

    fn as_user(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
    }

    /// Runs it, after it was stopped.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self) {
        use std::os::unix::process::CommandExt;
        // When the pipe ends the server is stopped, and what it had goes with it unless it is to run again.
        let script = "\"$0\" -D data >>log 2>&1 & server=$!\n\
                      end() { kill -QUIT $server 2>/dev/null; wait $server; }\n\
                      trap end TERM INT\nread word\nend\n[ \"$word\" = keep ] || rm -rf \"$1\"";
        let mut shell = Command::new("/bin/sh");
        self.as_user(&mut shell);
        let child = shell
            .args(["-c", script])
            .arg(self.bin.join("postgres"))
            .arg(&self.folder)
            .current_dir(&self.folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running = Some(child.expect("a shell starts"));
        let deadline = Instant::now() + WITHIN;
        while self.psql("postgres", "SELECT 1").is_err() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it at once, as a crash would.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) {
        let mut child = self.running.take().expect("it runs");
        child.stdin.take().expect("a pipe").write_all(b"keep\n").expect("it is told");
        child.wait().expect("it stops");
    }

    /// Runs statements; gives what they print.
    ///
    /// # Errors
    /// What the server said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let run = self
            .command("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "switchroom", "-h"])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if run.status.success() {
            Ok(String::from_utf8_lossy(&run.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&run.stderr).into_owned())
        }
    }

    /// The URL of a schema of its own, which is made if it is not there.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn schema(&self, name: &str) -> String {
        self.psql("postgres", &format!("CREATE SCHEMA IF NOT EXISTS \"{name}\"")).expect("a schema is made");
        format!(
            "postgres://switchroom:not-asked-for@/postgres?host={}&port={}&options=-csearch_path%3D{name}",
            self.folder.display(),
            self.port
        )
    }

    /// The URL of that schema at another address, with more options (`a=b&`).
    ///
    /// # Panics
    /// As [`Server::schema`].
    #[must_use]
    pub fn schema_at(&self, address: &str, name: &str, options: &str) -> String {
        // It is made.
        let _ = self.schema(name);
        format!(
            "postgres://switchroom:not-asked-for@{address}/postgres?{options}options=-csearch_path%3D{name}"
        )
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// All that is in a schema, as text.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn dump(&self, schema: &str) -> Vec<u8> {
        let run = self
            .command("pg_dump")
            .args(["-U", "switchroom", "-n", schema, "-p", &self.port.to_string(), "-h"])
            .arg(&self.folder)
            .arg("postgres")
            .output()
            .expect("pg_dump runs");
        assert!(run.status.success(), "pg_dump: {}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            // It removes its folder; nothing is asked of it any more.
            let _ = child.wait();
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Where the server's programs are: Debian does not put them on the path.
fn bin() -> PathBuf {
    if let Ok(path) = std::env::var("TEST_POSTGRES_BIN") {
        return path.into();
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL is missing: apt-get install postgresql, or set TEST_POSTGRES_BIN")
}

/// The user `postgres` when we are root.
fn user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let us = std::fs::metadata("/proc/self").expect("a process").uid();
    if us != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("users");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("Debian's user postgres");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().expect("a number"));
    Some((fields.next().expect("its id"), fields.next().expect("its group")))
}

/// A schema's name for what lies in this folder.
#[must_use]
pub fn name_of(folder: &Path) -> String {
    let letters = folder.to_string_lossy().to_lowercase();
    let name: String = letters.chars().filter(char::is_ascii_alphanumeric).collect();
    // Temporary folders differ in case.
    let sum =
        folder.to_string_lossy().bytes().fold(7_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    format!("t{}_{sum:x}", &name[name.len().saturating_sub(20)..])
}
