use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use hearth_domain::{Identity, Name};
use hearth_runtime::{
    create_whole, replace_whole,
    tls::{Authorities, KeyedCertificate, read_small},
};
use rcgen::KeyPair;

const SECRET: u32 = 0o600;

/// The node's key and certificate, and the CAs that it trusts: three files in a folder of their own.
#[derive(Clone, Debug)]
pub(super) struct IdentityFiles {
    folder: PathBuf,
}

/// A certificate of the node that can be used, and the CAs that it came with.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) own: KeyedCertificate,
    pub(super) authorities: Authorities,
    pub(super) not_after: SystemTime,
}

impl IdentityFiles {
    /// Those in the state folder.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("identity");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self { folder })
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node's key. It is made once, and on the disk before anybody hears of it: a node that ends while it joins asks again
    /// with the same.
    pub(super) fn key(&self) -> anyhow::Result<KeyPair> {
        let path = self.folder.join("node-key.pem");
        if !path.try_exists()? {
            let made = KeyPair::generate()?.serialize_pem();
            create_whole(&path, made.as_bytes(), SECRET)?;
        }
        let text = read_small(&path)?;
        KeyPair::from_pem(&text).with_context(|| {
            format!(
                "{} is no private key; remove it, and give a new join token",
                path.display()
            )
        })
    }

    /// What the node has joined with; `None`: it has not.
    pub(super) fn held(&self, key: &KeyPair, node: &Name) -> anyhow::Result<Option<Held>> {
        let certificate = self.folder.join("node.pem");
        let chain = match read_small(&certificate) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            chain => chain?,
        };
        let authorities = read_small(&self.folder.join("ca.pem"))?;
        Held::read(&chain, &authorities, key, node).map(Some)
    }

    /// Keeps what was issued. The certificate comes last: with it the node has joined.
    pub(super) fn keep(&self, chain: &str, authorities: &str) -> io::Result<()> {
        replace_whole(&self.folder.join("ca.pem"), authorities.as_bytes(), SECRET)?;
        replace_whole(&self.folder.join("node.pem"), chain.as_bytes(), SECRET)?;
        // Renames are on the disk when their folder is.
        fs::File::open(&self.folder)?.sync_all()
    }
}

impl Held {
    /// Reads what was issued for this key and this node.
    pub(super) fn read(
        chain: &str,
        authorities: &str,
        key: &KeyPair,
        node: &Name,
    ) -> anyhow::Result<Self> {
        let own = KeyedCertificate::from_pem(chain, &key.serialize_pem())
            .context("the node's certificate and key")?;
        let holder = own.holder();
        let Some(holder) = holder.filter(|holder| holder.identity == Identity::Node(node.clone()))
        else {
            bail!("the node's certificate is not that of node {node}");
        };
        Ok(Self {
            own,
            authorities: Authorities::from_pem(authorities).context("the list of CAs")?,
            not_after: holder.not_after,
        })
    }

    /// Whether it has expired, by the clock of this machine.
    pub(super) fn has_expired(&self) -> bool {
        self.not_after <= SystemTime::now()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, SanType};

    use super::*;

    /// What a CA has issued for this key, and the CA.
    fn issued(key: &KeyPair, node: &str) -> (String, String) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let uri = format!("spiffe://hearth/node/{node}");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        (params.signed_by(key, &issuer).unwrap().pem(), ca)
    }

    #[test]
    fn an_agent_that_ends_while_it_joins_has_the_same_key_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let node: Name = "n1".parse().unwrap();
        let files = IdentityFiles::open(folder.path()).unwrap();
        let key = files.key().unwrap();
        assert!(files.held(&key, &node).unwrap().is_none());
        // It has asked, and ends before it keeps the answer, or between the two files of it.
        let again = IdentityFiles::open(folder.path()).unwrap().key().unwrap();
        assert_eq!(again.public_key_raw(), key.public_key_raw());
        let (chain, ca) = issued(&key, "n1");
        fs::write(files.folder().join("ca.pem"), &ca).unwrap();
        assert!(files.held(&key, &node).unwrap().is_none());
        files.keep(&chain, &ca).unwrap();
        let held = files.held(&key, &node).unwrap().unwrap();
        assert!(!held.has_expired());
        assert_eq!(held.authorities.to_pem(), ca);
    }

    #[test]
    fn what_is_another_keys_or_another_nodes_or_nothing_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let node: Name = "n1".parse().unwrap();
        let files = IdentityFiles::open(folder.path()).unwrap();
        let key = files.key().unwrap();
        let (of_other_key, ca) = issued(&KeyPair::generate().unwrap(), "n1");
        let (of_other_node, _) = issued(&key, "n2");
        for chain in [of_other_key.as_str(), &of_other_node, "", "x"] {
            files.keep(chain, &ca).unwrap();
            assert!(files.held(&key, &node).is_err(), "{chain}");
        }
        let (chain, _) = issued(&key, "n1");
        files.keep(&chain, "").unwrap();
        assert!(files.held(&key, &node).is_err());
        fs::write(files.folder().join("node-key.pem"), "x").unwrap();
        let error = format!("{:#}", files.key().unwrap_err());
        assert!(error.contains("node-key.pem is no private key"), "{error}");
    }
}
