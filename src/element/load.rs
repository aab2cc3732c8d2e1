//! The load of an element for the adaptive policies, told by a file or a command.

use core::str::FromStr;
use core::time::Duration;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;

use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::group::Group;

/// How the load is found out.
#[derive(Args, Debug)]
pub(super) struct LoadArgs {
    /// Where to read the load from again and again, for the least-used policies: a file, or after | a command for sh. The first
    /// word is a number from 0 to 1, or a percentage such as 37%.
    #[arg(long, value_name = "FILE|CMD")]
    load_from: Option<Source>,
    /// Time between two readings, in seconds. The registrar hears of each load that is not the last one.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, requires = "load_from", value_parser = period)]
    load_interval: f64,
}

fn period(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.1 to 1000000".into()),
    }
}

impl LoadArgs {
    /// Whether the load comes from somewhere.
    pub(super) const fn is_given(&self) -> bool {
        self.load_from.is_some()
    }

    /// Begins to read; the first load is there when this ends, if it is any.
    pub(super) async fn watch(&self) -> Load {
        let Some(source) = self.load_from.clone() else {
            return Load(None);
        };
        let mut reading = Reading {
            source,
            told: watch::Sender::new(None),
            file: None,
            failing: false,
        };
        let load = Load(Some(reading.told.subscribe()));
        reading.read().await;
        let mut clock = interval(Duration::from_secs_f64(self.load_interval));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::spawn(async move {
            // The first tick is at once.
            clock.tick().await;
            while !reading.told.is_closed() {
                clock.tick().await;
                reading.read().await;
            }
        });
        load
    }
}

/// The load as it is told.
pub(super) struct Load(Option<watch::Receiver<Option<f64>>>);

impl Load {
    /// The last one, a fraction; `None` where there was none yet.
    pub(super) fn current(&mut self) -> Option<f64> {
        *self.0.as_mut()?.borrow_and_update()
    }

    /// Waits for another one.
    pub(super) async fn changed(&mut self) -> Option<f64> {
        if let Some(told) = &mut self.0
            && told.changed().await.is_ok()
        {
            return self.current();
        }
        core::future::pending().await
    }
}

struct Reading {
    source: Source,
    told: watch::Sender<Option<f64>>,
    /// A read of a file that has not returned. It cannot be cancelled, and the next one waits for it.
    file: Option<JoinHandle<Result<Vec<u8>, String>>>,
    /// Whether the last one came to nothing, which is said only once.
    failing: bool,
}

impl Reading {
    async fn read(&mut self) {
        match self.source.read(&mut self.file).await {
            Ok(load) => {
                if core::mem::take(&mut self.failing) {
                    tracing::info!("there is a load again: {load}");
                }
                self.told.send_if_modified(|told| {
                    let last = told.replace(load);
                    last != Some(load)
                });
            }
            Err(error) if !core::mem::replace(&mut self.failing, true) => {
                tracing::warn!(
                    "no load in {}: {error}; the last one stays",
                    self.source.name()
                );
            }
            Err(error) => tracing::debug!("no load in {}: {error}", self.source.name()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Command(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix('|').map(str::trim) {
            Some("") => Err("expected a command after |".into()),
            Some(command) => Ok(Self::Command(command.into())),
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Source {
    /// A reading that takes longer is none.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// So much is read at most.
    const MOST: u64 = 4096;

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Command(command) => format!("the output of '{command}'"),
        }
    }

    async fn read(
        &self,
        file: &mut Option<JoinHandle<Result<Vec<u8>, String>>>,
    ) -> Result<f64, String> {
        let text = async {
            match self {
                Self::File(path) => {
                    let path = path.clone();
                    let start = || tokio::task::spawn_blocking(move || read_file(&path));
                    let read = file.get_or_insert_with(start).await;
                    *file = None;
                    read.map_err(|error| error.to_string())?
                }
                Self::Command(command) => run(command).await,
            }
        };
        let text = timeout(Self::PATIENCE, text)
            .await
            .map_err(|_| format!("it takes longer than {:?}", Self::PATIENCE))??;
        parse(&text)
    }
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    file.and_then(|file| file.take(Source::MOST).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

async fn run(command: &str) -> Result<Vec<u8>, String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut process = Group::start(&mut shell).map_err(|error| error.to_string())?;
    let (_, stdout) = process.pipes();
    let read = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            let read = stdout.take(Source::MOST + 1).read_to_end(&mut bytes).await;
            let read = read.map_err(|error| error.to_string())?;
            if u64::try_from(read).is_ok_and(|read| read > Source::MOST) {
                return Err(format!("it is longer than {} bytes", Source::MOST));
            }
        }
        Ok(bytes)
    };
    let wait = async { process.wait().await.map_err(|error| error.to_string()) };
    let (bytes, status) = tokio::try_join!(read, wait)?;
    if status.success() {
        Ok(bytes)
    } else {
        Err(status.to_string())
    }
}

/// The load in the first word.
fn parse(bytes: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(bytes);
    let word = text.split_whitespace().next().unwrap_or_default();
    let load = match word.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => word.parse(),
    };
    match load {
        Ok(load) if (0.0..=1.0).contains(&load) => Ok(load),
        _ => {
            let begin: String = word.chars().take(20).collect();
            Err(format!(
                "{begin:?} is no number from 0 to 1 and no percentage"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_fraction_or_a_percentage() {
        for (text, load) in [
            ("0.25\n", 0.25),
            ("  1", 1.0),
            ("0 of 4", 0.0),
            ("37.5%", 0.375),
            ("100%\n99%\n", 1.0),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(load), "{text}");
        }
        for text in [
            "", "\n", "half", "1.1", "-0.1", "37", "101%", "%", "NaN", "inf", "\u{0}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[0xff; 4096]).is_err_and(|error| error.len() < 200));
    }

    #[tokio::test]
    async fn only_a_load_that_is_another_one_is_told() {
        let name = format!("rserpool-load-unit-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let mut reading = Reading {
            source: Source::File(file.clone()),
            told: watch::Sender::new(None),
            file: None,
            failing: false,
        };
        let mut load = Load(Some(reading.told.subscribe()));
        for (text, told) in [
            ("0.5", Some(0.5)),
            ("50%", None),
            ("none", None),
            ("0.5", None),
            ("0", Some(0.0)),
        ] {
            std::fs::write(&file, text).unwrap();
            reading.read().await;
            let changed = load.0.as_ref().unwrap().has_changed().unwrap();
            assert_eq!(load.current().filter(|_| changed), told, "{text}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[tokio::test]
    async fn a_command_leaves_nothing_behind() {
        // What is left has the command's output, too.
        let source = Source::Command("sleep 1000 & echo 1".into());
        assert_eq!(source.read(&mut None).await, Ok(1.0));
    }

    #[tokio::test]
    async fn an_output_has_a_bound() {
        let output = run("yes 1").await;
        assert_eq!(output, Err("it is longer than 4096 bytes".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_is_the_only_one() {
        let source = Source::File("/dev/null".into());
        let mut hung = Some(tokio::spawn(core::future::pending()));
        let id = hung.as_ref().map(JoinHandle::id);
        for _ in 0..2 {
            assert!(source.read(&mut hung).await.is_err());
            assert_eq!(hung.as_ref().map(JoinHandle::id), id);
        }
        let mut returned = Some(tokio::spawn(async { Ok(b"0.5".to_vec()) }));
        assert_eq!(source.read(&mut returned).await, Ok(0.5));
        assert!(returned.is_none());
    }

    #[test]
    fn a_file_or_a_command() {
        assert_eq!("/a b".parse(), Ok(Source::File("/a b".into())));
        assert_eq!("| a b".parse(), Ok(Source::Command("a b".into())));
        assert!("| ".parse::<Source>().is_err());
    }
}
