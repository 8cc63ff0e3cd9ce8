//! What is generated from the command line of a program: completions for shells, and manual pages.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use thiserror::Error;

use crate::exit::{self, Fatal, STATUSES};

/// The options of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// The options of `manuals`.
#[derive(Clone, Debug, Args)]
pub struct ManualsArgs {
    /// The folder; it has to exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Why something could not be generated.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// Standard output cannot be written.
    #[error("standard output cannot be written ({0}): check where it leads")]
    Output(#[source] io::Error),
    /// A manual page cannot be written.
    #[error("`{}` cannot be written ({error}): give a folder that exists", path.display())]
    Page {
        /// The page.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

impl Fatal for GenerateError {
    fn status(&self) -> u8 {
        exit::FILE
    }

    fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Prints the completions of the program `P` for a shell.
///
/// # Errors
/// If standard output cannot be written.
pub fn completions<P: CommandFactory>(args: CompletionsArgs) -> Result<(), GenerateError> {
    let mut command = P::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    io::stdout().lock().write_all(&script).map_err(GenerateError::Output)
}

/// Writes a manual page for the program `P`, and one for each of its subcommands.
///
/// # Errors
/// If one cannot be written.
pub fn manuals<P: CommandFactory>(args: &ManualsArgs) -> Result<(), GenerateError> {
    let mut program = P::command().disable_help_subcommand(true);
    program.build();
    let subcommands = program.get_subcommands().filter(|command| !command.is_hide_set());
    for command in subcommands.chain([&program]) {
        write_page(command, &args.folder)?;
    }
    Ok(())
}

fn write_page(command: &Command, folder: &Path) -> Result<(), GenerateError> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)
        .and_then(|()| write_statuses(&mut page))
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| GenerateError::Page { path, error })
}

/// The section with the exit statuses, in the language of manual pages.
fn write_statuses(page: &mut Vec<u8>) -> io::Result<()> {
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    STATUSES.iter().try_for_each(|(status, meaning)| writeln!(page, ".TP\n\\fB{status}\\fR\n{meaning}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program")]
    enum Program {
        /// Runs the server
        Serve {
            /// Where to listen
            #[arg(long)]
            listen: Option<String>,
        },
        #[command(hide = true)]
        Manuals(ManualsArgs),
    }

    #[test]
    fn each_visible_subcommand_has_a_manual_page_with_the_exit_statuses() {
        let folder = tempfile::tempdir().unwrap();
        manuals::<Program>(&ManualsArgs { folder: folder.path().to_owned() }).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["program-serve.1", "program.1"]);
        let page = std::fs::read_to_string(folder.path().join("program-serve.1")).unwrap();
        for part in ["Runs the server", "\\-\\-listen", ".SH \"EXIT STATUS\"", "\\fB7\\fR\nNo address"] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        let error = manuals::<Program>(&ManualsArgs { folder: "/nowhere".into() }).unwrap_err();
        assert_eq!(error.status(), exit::FILE);
        assert!(error.to_string().contains("/nowhere/program"));
    }
}
