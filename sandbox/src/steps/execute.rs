//! The one loop that carries a list of actions out. It holds no policy: what is done, and in which
//! order, is in the list.

use super::action::{Action, FileSystem, Need, Operation};
use super::inside::Inside;
use crate::limits::EXIT_STEP_FAILED;
use crate::seccomp::filter::Program;
use crate::sys::mount::{self, Kind, NO_DEV, NO_SUID, NewFileSystem, READ_ONLY, Reach};
use crate::sys::privilege::Owner;
use crate::sys::process::{Ended, Fork};
use crate::sys::{Errno, privilege, process, seccomp};
use hearth_model::limits::{LAUNCHER_STATUS_FD, LAUNCHER_TARGET_FD};
use hearth_model::step::{Step, StepFailure};
use std::ffi::CStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Carries `list` out. Returns only when an action failed: after the last one this process is the service.
#[must_use]
pub fn carry_out(list: &[Action]) -> StepFailure {
    let mut root = None;
    for action in list {
        if let Err(Errno(errno)) = perform(&action.operation, &mut root) {
            let (step, index) = (action.step, action.index);
            return StepFailure { step, index, errno };
        }
    }
    // A list that executes nothing; `build` makes none.
    StepFailure {
        step: Step::ExecService,
        index: 0,
        errno: libc::ENOEXEC,
    }
}

/// One action. `root` is the new root from [`Operation::Root`] to [`Operation::Pivot`].
fn perform(operation: &Operation, root: &mut Option<Inside>) -> Result<(), Errno> {
    match operation {
        Operation::CloseDescriptors => close_descriptors(),
        Operation::Enter => {
            let target = process::inherited(LAUNCHER_TARGET_FD)?;
            process::enter_sandbox(target.as_fd())?;
            // Nobody in there looks into us while we hold anything that they do not.
            privilege::hide_memory()?;
            privilege::become_namespace_root()
        }
        Operation::Guest => match process::fork()? {
            Fork::Child => Ok(()),
            Fork::Parent { child } => end_as(child),
        },
        Operation::NewSession => process::reset_inherited().and_then(|()| process::new_session()),
        Operation::HostName(name) => process::set_host_name(name),
        Operation::Loopback => process::loopback_up(),
        Operation::PrivateTree => mount::make_tree_private(),
        Operation::Root { source } => {
            *root = Some(Inside::new(mount_root(source)?));
            Ok(())
        }
        Operation::NewFileSystem(new) => mount_new(inside(root)?, new),
        Operation::Copy {
            source,
            target,
            attributes,
        } => {
            let copy = mount::clone_tree(source)?;
            let kind = mount::kind(copy.as_fd())?;
            if kind == Kind::Device && attributes.0 & NO_DEV != 0 {
                // It could never be opened: said now, not when the service tries.
                return Err(Errno(libc::EACCES));
            }
            // A folder is never a way to devices, wherever it is.
            let only_folders = if kind == Kind::Folder { NO_DEV } else { 0 };
            mount::add_attributes(copy.as_fd(), attributes.0 | only_folders, Reach::Tree)?;
            inside(root)?.attach(copy.as_fd(), target, kind)
        }
        Operation::Link { folder, name, to } => inside(root)?.link(folder, name, to),
        Operation::Restrict { target, attributes } => {
            let place = inside(root)?.find(target)?;
            mount::add_attributes(place.as_fd(), attributes.0, Reach::Mount)
        }
        Operation::ReadOnlyPath(path) => inside(root)?.read_only(path),
        Operation::Mask(path) => inside(root)?.mask(path),
        Operation::Pivot => {
            mount::pivot(inside(root)?.root())?;
            *root = None;
            Ok(())
        }
        Operation::Limit(limit, value) => privilege::set_limit(*limit, *value),
        Operation::NamespaceLimit { file, most } => {
            limit_namespace(inside(root)?.root(), file, *most)
        }
        Operation::Keyring => keyring(),
        Operation::ForeignNetwork => match privilege::network_owner()? {
            Owner::Another => Ok(()),
            Owner::Own => Err(Errno(libc::EPERM)),
        },
        Operation::DropBoundingSet(kept) => privilege::drop_bounding_set(*kept),
        Operation::User { uid, gid, groups } => privilege::become_user(*uid, *gid, *groups),
        Operation::DropCapabilities(kept) => privilege::drop_capabilities(*kept),
        Operation::NoNewPrivileges => privilege::set_no_new_privileges(),
        Operation::Landlock(rules) => rules.apply(),
        Operation::EndWithParent => process::end_with_parent(),
        Operation::Reaper(filter) => match process::fork()? {
            Fork::Child => Ok(()),
            Fork::Parent { child } => reap(child, filter),
        },
        Operation::Filter(program) => seccomp::install(program),
        Operation::WorkingFolder(path) => mount::change_folder(path),
        Operation::Execute {
            program,
            arguments,
            environment,
        } => Err(process::execute(program, arguments, environment)),
    }
}

/// The first process of the sandbox: it ends as the program does, and everything inside with it.
fn reap(child: u32, filter: &Program) -> ! {
    let ready = privilege::hide_memory()
        // The status pipe is the child's alone: it closes when the program is executed.
        .and_then(|()| process::close_range(0, libc::c_uint::MAX))
        .and_then(|()| seccomp::install(filter));
    if ready.is_err() {
        process::end(EXIT_STEP_FAILED.into());
    }
    end_as(child)
}

/// Waits for a child, and ends as it does.
fn end_as(child: u32) -> ! {
    loop {
        match process::wait_any() {
            Ok((pid, ended)) if pid == child => process::end(match ended {
                Ended::Code(code) => code,
                Ended::Signal(signal) => 128 + signal,
            }),
            // An orphan, which nobody else waits for.
            Ok(_) => {}
            // Without children there is nobody to wait for, and no reason to stay.
            Err(_) => process::end(EXIT_STEP_FAILED.into()),
        }
    }
}

/// The new root; EBADF where the list mounts something before it.
fn inside(root: &mut Option<Inside>) -> Result<&mut Inside, Errno> {
    root.as_mut().ok_or(Errno(libc::EBADF))
}

fn close_descriptors() -> Result<(), Errno> {
    let status = LAUNCHER_STATUS_FD as libc::c_uint;
    process::close_range(3, status - 1)?;
    process::close_range(status + 1, libc::c_uint::MAX)
}

/// Copies the image's mount over itself: pivot_root(2) wants a mount point, and restricting a copy leaves
/// the one outside as it is.
fn mount_root(source: &CStr) -> Result<OwnedFd, Errno> {
    let copy = mount::clone_tree(source)?;
    let attributes = READ_ONLY | NO_SUID | NO_DEV;
    mount::add_attributes(copy.as_fd(), attributes, Reach::Tree)?;
    let place = mount::find_outside(source)?;
    mount::attach(copy.as_fd(), place.as_fd())?;
    Ok(copy)
}

fn mount_new(inside: &mut Inside, new: &FileSystem) -> Result<(), Errno> {
    let setup = match NewFileSystem::open(new.kind) {
        Err(Errno(libc::ENODEV)) if new.need == Need::WhereTheKernelHasIt => return Ok(()),
        other => other?,
    };
    for (key, value) in &new.options {
        setup.option(key, value)?;
    }
    let made = setup.mount(new.attributes.0)?;
    inside.attach(made.as_fd(), &new.target, Kind::Folder)
}

/// A kernel that does not count something has no file for it.
fn limit_namespace(root: BorrowedFd<'_>, file: &CStr, most: u32) -> Result<(), Errno> {
    match mount::open_for_writing(root, file) {
        Ok(setting) => Ok(File::from(setting).write_all(most.to_string().as_bytes())?),
        Err(Errno(libc::ENOENT)) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A kernel without keys has no keyring that could be shared.
fn keyring() -> Result<(), Errno> {
    match privilege::new_session_keyring() {
        Err(Errno(libc::ENOSYS)) => Ok(()),
        other => other,
    }
}
