//! A token that is logged in to: its sessions, kept for the next call, and the handle of the key.
//!
//! Everything here blocks. What went stale (a device that was pulled out, sessions that the token has closed) is made anew
//! once for each call that meets it. A token that is not found may be back without the module knowing, so the module is begun
//! anew from time to time. That ends all sessions of the process, also those of another key in the same module, so it waits
//! for a moment without a call, and what was opened before is not used after it. A PIN that the token has refused is not
//! tried again: tokens lock after a few.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use credvault_crypto::{KeyManagerError, Opened, read_private};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, Result as Returned, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;

use super::{key, reason};

/// How often the modules of this process were begun anew. Every use of a module shares the lock.
static BEGUN_ANEW: RwLock<u64> = RwLock::new(0);
/// The pause before the module is begun anew once more.
const ANEW_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Token {
    module: PathBuf,
    label: String,
    pin_file: PathBuf,
    key: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The module once it is loaded.
    module: Option<Module>,
    open: Option<Arc<Open>>,
    /// When this token had the module begun anew.
    anew: Option<Instant>,
    refused_pin: Option<Opened>,
}

/// A token in use. The module is not begun anew meanwhile: the lock is let go after the sessions.
struct Use {
    open: Arc<Open>,
    _shared: RwLockReadGuard<'static, u64>,
}

struct Open {
    module: Module,
    /// How often modules had been begun anew when this was opened.
    begun: u64,
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
        let first = self.begin()?;
        match first.open.operate(&operate) {
            Err(error) if reason::is_stale(&error) => {}
            answer => return answer.map_err(|error| reason::of(&error)),
        }
        self.forget(&first.open);
        drop(first);
        self.begin()?.open.operate(&operate).map_err(|error| reason::of(&error))
    }

    /// The token, ready to be used; looked for once more in a module that was begun anew if it is not to be had.
    fn begin(&self) -> Result<Use, KeyManagerError> {
        match self.share() {
            Err(KeyManagerError::Unavailable(_)) if self.begin_anew() => self.share(),
            begun => begun,
        }
    }

    fn share(&self) -> Result<Use, KeyManagerError> {
        let shared = BEGUN_ANEW.read().unwrap_or_else(PoisonError::into_inner);
        let open = self.open(*shared)?;
        Ok(Use { open, _shared: shared })
    }

    /// Has the module look for its tokens anew; `false` if it is too early for that, or the module is in use.
    fn begin_anew(&self) -> bool {
        let Ok(mut begun) = BEGUN_ANEW.try_write() else { return false };
        let mut state = locked(&self.state);
        if state.open.is_some() {
            return true;
        }
        if state.anew.is_some_and(|time| time.elapsed() < ANEW_PAUSE) {
            return false;
        }
        let Some(module) = state.module.clone() else { return false };
        state.anew = Some(Instant::now());
        *begun += 1;
        // If the module refuses this, it is initialised still, and nothing has changed.
        let _ = module.finalize();
        true
    }

    fn forget(&self, stale: &Arc<Open>) {
        let mut state = locked(&self.state);
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, stale)) {
            state.open = None;
        }
    }

    /// The token, logged in to. One thread opens it, and the others wait for that one.
    fn open(&self, begun: u64) -> Result<Arc<Open>, KeyManagerError> {
        let mut state = locked(&self.state);
        match state.open.take() {
            Some(open) if open.begun == begun => {
                state.open = Some(Arc::clone(&open));
                return Ok(open);
            }
            // Its sessions have ended with the module, and others may have their handles now: they must not be closed.
            ended => std::mem::forget(ended),
        }
        let module = self.load(&mut state)?;
        let slot = self.find_slot(&module)?;
        let session = module.open_ro_session(slot).map_err(|error| reason::of(&error))?;
        self.log_in(&module, slot, &session, &mut state)?;
        let key = key::find(&session, &self.key)?;
        let open =
            Arc::new(Open { module, begun, slot, key, idle: Mutex::default(), _login: Mutex::new(session) });
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
