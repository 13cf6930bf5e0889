//! Torrents that begin with a magnet link, as the user sees them: taken in, known, saved as a torrent file, or refused.

use super::{Job, Learned, PATIENCE, Purpose, Run, Status, happened};
use crate::get::sources::{Elsewhere, Sources};
use crate::quantity::Size;
use crate::show::Screen;
use crate::show::json::Happened;
use crate::words::{count, shell};
use gannet::{AddError, AddOptions, Magnet, TorrentId};
use std::path::Path;
use wire::disguise::disguises;

/// Disguised files that are named one by one.
const DISGUISES_TOLD_MAX: usize = 10;

impl Run<'_> {
    /// Takes in a torrent of which only a link is known.
    pub(in crate::get) fn add_magnet(
        &mut self,
        screen: &Screen,
        typed: &str,
        magnet: &Magnet,
        options: AddOptions,
        learned: Learned,
    ) -> Result<(), AddError> {
        let given = options.peers.len() + magnet.peers.len();
        let handle = self.client.add_magnet(magnet, options)?;
        // Not the link's alone: an earlier run may have known of others.
        let trackers = handle.trackers().wait_for(PATIENCE).unwrap_or_default();
        let trackers = trackers.iter().map(|tracker| tracker.url.to_string()).collect();
        // An earlier run may have fetched the metadata; else the link's own word counts.
        let known = handle.metainfo();
        let private = known.as_ref().is_some_and(|metainfo| metainfo.private);
        let sources = Sources::new(trackers, given, Elsewhere::of(self.finders, private), self.patience);
        let name = known.as_ref().map(|metainfo| metainfo.name.original.to_string());
        let named = name.or_else(|| magnet.name.as_ref().map(ToString::to_string));
        let job = Job {
            info_hash: handle.info_hash().to_string(),
            name: named.unwrap_or_else(|| handle.info_hash().to_string()),
            learned,
            sources,
            to_fetch: format!("gannet get {}", shell(Path::new(typed))),
            status: Status::Looking,
            handle,
        };
        screen.json(&Happened { name: Some(job.name.clone()), ..happened("added", &job) });
        if magnet.left_out > 0 {
            let text = format!(
                "{} of the link's addresses are none, or too many, and are left out",
                magnet.left_out
            );
            screen.say(&format!("{}: {text}", job.name));
        }
        let torrent = job.handle.id();
        self.jobs.push(job);
        if known.is_some() {
            self.on_known(screen, torrent, true);
        }
        Ok(())
    }

    /// What a link only named is known now.
    pub(super) fn on_metadata(&mut self, screen: &Screen, torrent: TorrentId) {
        let Some(job) = self.job_mut(torrent) else { return };
        let Some(metainfo) = job.handle.metainfo() else { return };
        job.name = metainfo.name.original.to_string();
        let (files, size) = (metainfo.layout.files(), Size(metainfo.layout.total()));
        screen.say(&format!("{}: found: {}, {size}", job.name, count(files, "file")));
        screen.json(&Happened { name: Some(job.name.clone()), ..happened("metadata", job) });
        self.on_known(screen, torrent, false);
    }

    /// It is known what a link names, by an earlier run or as of now.
    fn on_known(&mut self, screen: &Screen, torrent: TorrentId, by_an_earlier_run: bool) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.handle.id() == torrent) else { return };
        tell_disguises(screen, job);
        let (Purpose::Save(saving), Some(metainfo)) = (&self.purpose, job.handle.metainfo()) else { return };
        if let Err(failure) = saving.save(&metainfo.to_torrent()) {
            job.status = Status::Broken(failure.to_string());
            return;
        }
        screen.say(&format!("{}: {}", job.name, saving.done()));
        let path = Some(saving.path().display().to_string());
        screen.json(&Happened { path, ..happened("saved", job) });
        if by_an_earlier_run {
            // What that run has fetched of it is kept.
            job.status = Status::Ended;
        } else {
            job.handle.remove();
        }
    }

    /// What a link names does not begin.
    pub(super) fn on_refused(
        &mut self,
        screen: &Screen,
        torrent: TorrentId,
        kind: &'static str,
        status: Status,
        why: &str,
    ) {
        let Some(job) = self.job_mut(torrent) else { return };
        job.status = status;
        if let Some(name) = job.learned.get() {
            job.name.clone_from(name);
        }
        let told = format!("{}: {why}", job.name);
        screen.json(&Happened { why: Some(why.into()), ..happened(kind, job) });
        self.say_if_others_go_on(screen, &told);
    }
}

/// Names programs that pretend to be something else, before anything of them is fetched.
pub(super) fn tell_disguises(screen: &Screen, job: &Job) {
    let Some(metainfo) = job.handle.metainfo() else { return };
    let found = disguises(&metainfo);
    for (file, disguise) in found.iter().take(DISGUISES_TOLD_MAX) {
        let path = metainfo.original_path(*file).to_string();
        screen.say(&format!("beware: {path} is {disguise}"));
        let why = Some(disguise.to_string());
        screen.json(&Happened { path: Some(path), why, ..happened("beware", job) });
    }
    if found.len() > DISGUISES_TOLD_MAX {
        let more = count((found.len() - DISGUISES_TOLD_MAX) as u64, "file");
        screen.say(&format!("beware: and {more} more like these; gannet inspect names them"));
    }
}
