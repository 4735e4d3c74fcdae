//! A token that is logged in to: its sessions, kept for the next call, and the handle of the key.
//!
//! Everything here blocks. What went stale (a device that was pulled out, sessions that the token has closed) is made anew
//! once for each call that meets it. A PIN that the token has refused is not tried again: tokens lock after a few.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_crypto::{KeyManagerError, Opened, read_private};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, Result as Returned, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;

use super::{key, reason};

pub(super) struct Token {
    module: PathBuf,
    label: String,
    pin_file: PathBuf,
    key: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The module once it is loaded. It is never finalised: other key managers of the process may use it too.
    module: Option<Module>,
    open: Option<Arc<Open>>,
    refused_pin: Option<Opened>,
}

struct Open {
    module: Module,
    slot: Slot,
    key: ObjectHandle,
    idle: Mutex<Vec<Session>>,
    /// The session that has logged in. A token forgets a login when a process closes its last session.
    _login: Mutex<Session>,
}

impl Token {
    pub(super) fn new(module: PathBuf, label: String, pin_file: PathBuf, key: String) -> Self {
        Self { module, label, pin_file, key, state: Mutex::default() }
    }

    /// Lets `operate` use the key in a session. It is called twice if what it met the first time had gone stale.
    pub(super) fn with_key<T>(
        &self,
        operate: impl Fn(&Session, ObjectHandle) -> Returned<T>,
    ) -> Result<T, KeyManagerError> {
        let open = self.open()?;
        match open.operate(&operate) {
            Err(error) if reason::is_stale(&error) => {}
            answer => return answer.map_err(|error| reason::of(&error)),
        }
        self.forget(&open);
        drop(open);
        self.open()?.operate(&operate).map_err(|error| reason::of(&error))
    }

    fn forget(&self, stale: &Arc<Open>) {
        let mut state = locked(&self.state);
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, stale)) {
            state.open = None;
        }
    }

    /// The token, logged in to. One thread opens it, and the others wait for that one.
    fn open(&self) -> Result<Arc<Open>, KeyManagerError> {
        let mut state = locked(&self.state);
        if let Some(open) = &state.open {
            return Ok(Arc::clone(open));
        }
        let module = self.load(&mut state)?;
        let slot = self.find_slot(&module)?;
        let session = module.open_ro_session(slot).map_err(|error| reason::of(&error))?;
        self.log_in(&module, slot, &session, &mut state)?;
        let key = key::find(&session, &self.key)?;
        let open = Arc::new(Open { module, slot, key, idle: Mutex::default(), _login: Mutex::new(session) });
        state.open = Some(Arc::clone(&open));
        Ok(open)
    }

    fn load(&self, state: &mut State) -> Result<Module, KeyManagerError> {
        let module = match &state.module {
            Some(module) => module.clone(),
            None => Module::new(&self.module).map_err(|_| {
                let file = self.module.display();
                KeyManagerError::Unavailable(format!("{file} cannot be loaded, or is no module of PKCS#11"))
            })?,
        };
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Initialising is for the whole process, and another key manager may have done it.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(reason::of(&error)),
        }
        state.module = Some(module.clone());
        Ok(module)
    }

    fn find_slot(&self, module: &Module) -> Result<Slot, KeyManagerError> {
        let slots = module.get_slots_with_token().map_err(|error| reason::of(&error))?;
        let has_label =
            |slot: &Slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == self.label);
        let mut found = slots.into_iter().filter(has_label);
        match (found.next(), found.next()) {
            (Some(slot), None) => Ok(slot),
            (None, _) => {
                Err(KeyManagerError::Unavailable("no token with the label in `token` is present".to_owned()))
            }
            (Some(_), Some(_)) => Err(KeyManagerError::Key(
                "several tokens have the label in `token`: give the right one a label of its own".to_owned(),
            )),
        }
    }

    fn log_in(
        &self,
        module: &Module,
        slot: Slot,
        session: &Session,
        state: &mut State,
    ) -> Result<(), KeyManagerError> {
        let denied = |why: &str| Err(KeyManagerError::Denied(why.to_owned()));
        let pin = self.read_pin()?;
        if state.refused_pin.as_ref() == Some(&pin) {
            return denied("the token has refused the PIN; it is tried again when `pin_file` has another");
        }
        let info = module.get_token_info(slot).map_err(|error| reason::of(&error))?;
        if info.user_pin_locked() {
            return denied("the token's PIN is locked: its security officer can set another");
        }
        if info.user_pin_final_try() {
            return denied(
                "one more wrong PIN would lock the token: log in once with the vendor's tool, which resets the count",
            );
        }
        match session.login_with_raw(UserType::User, &RawAuthPin::new(Box::new(pin.to_vec()))) {
            // A login is for the whole process, and another session may have done it.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                state.refused_pin = None;
                Ok(())
            }
            Err(error) => {
                if reason::is_about_the_pin(&error) {
                    state.refused_pin = Some(pin);
                }
                Err(reason::of(&error))
            }
        }
    }

    fn read_pin(&self) -> Result<Opened, KeyManagerError> {
        let file = self.pin_file.display();
        let mut pin = read_private(&self.pin_file)
            .map_err(|error| KeyManagerError::Settings(format!("PIN file {file}: {error}")))?;
        while pin.last().is_some_and(|byte| b"\r\n".contains(byte)) {
            pin.pop();
        }
        Ok(pin)
    }
}

impl Open {
    fn operate<T>(&self, operate: &impl Fn(&Session, ObjectHandle) -> Returned<T>) -> Returned<T> {
        let kept = locked(&self.idle).pop();
        let session = match kept {
            Some(session) => session,
            None => self.module.open_ro_session(self.slot)?,
        };
        // A session that met an error is closed: an operation may still be active in it.
        let answer = operate(&session, self.key)?;
        locked(&self.idle).push(session);
        Ok(answer)
    }
}

/// A thread that panicked while it held the lock has not left half a change behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
