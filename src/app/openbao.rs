//! How the vault logs in to OpenBao, from the settings' words into those of its client.

use credvault_kms::OpenBaoLogin;

use crate::settings::LoginSection;

/// The login, with the files as the settings name them.
pub(super) fn login(login: LoginSection) -> OpenBaoLogin {
    match login {
        LoginSection::Token { file } => OpenBaoLogin::TokenFile(file),
        LoginSection::AppRole { mount, role_id, secret_id_file } => {
            OpenBaoLogin::AppRole { mount, role_id, secret_id_file }
        }
        LoginSection::Kubernetes { mount, role, jwt_file } => {
            OpenBaoLogin::Kubernetes { mount, role, jwt_file }
        }
        LoginSection::Certificate { mount, role, certificate_file, key_file } => {
            OpenBaoLogin::Certificate { mount, role, certificate_file, key_file }
        }
    }
}
