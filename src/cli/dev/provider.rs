//! The provider that `dev --simulator` runs beside the vault: its catalog file, and its app.

use std::net::SocketAddr;

use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, Simulator};

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::folder::Folder;
use crate::settings::RawSettings;
use credvault_proto::v1;

/// What the catalog knows of it; `{url}` is where it serves.
const FILE: &str = include_str!("simulator.toml");

/// A provider to play with. It keeps everything in memory.
pub(super) struct Provider(Simulator);

impl Provider {
    /// Starts it and makes the vault know it.
    pub(super) async fn start(
        address: SocketAddr,
        folder: &Folder,
        settings: &mut RawSettings,
    ) -> Result<Self, Failure> {
        if settings.catalog.folder.is_some() {
            return Err(Failure::Usage(
                "--simulator brings a catalog folder of its own; take catalog.folder out of credvault.toml"
                    .to_owned(),
            ));
        }
        let taken = |error: std::io::Error| {
            let advice = "choose another address with --simulator-address";
            anyhow::anyhow!("{address} cannot be listened on: {error}; {advice}")
        };
        let simulator = Simulator::start(address).await.map_err(taken)?;
        let file = FILE.replace("{url}", &simulator.url());
        settings.catalog.folder = Some(folder.write_provider("simulator", &file)?);
        settings.broker.allowed_networks.push(simulator.address().ip().to_string());
        Ok(Self(simulator))
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Stores its app, for the platform, with the vault's own callback.
    pub(super) async fn register(&self, folder: &Folder, vault: SocketAddr) -> Result<(), Failure> {
        let operator = Client::connect(&folder.profile("operator", vault.port())).await?;
        let request = v1::PutOAuthAppRequest {
            provider: "simulator".to_owned(),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            ..Default::default()
        };
        operator.admin().put_o_auth_app(request).await?;
        Ok(())
    }

    pub(super) async fn stop(self) {
        self.0.stop().await;
    }
}
