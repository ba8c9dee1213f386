//! The parts of a recording, and what their reading has in common.

use std::path::Path;
use std::sync::Arc;

use super::interner::Interner;
use super::partition::{self, Partition, hour_of, partitions, start_of};
use super::rows::Row;
use super::tables::class_of;
use super::window::Window;
use crate::sample::Session;

/// The parts of a recording, and what their reading has in common.
pub(super) struct Parts<'a> {
    folder: &'a Path,
    slug: String,
    pub(super) window: Window,
    pub(super) unreadable: u64,
    known: Interner,
}

impl<'a> Parts<'a> {
    /// Opens those of a window.
    pub(super) fn of(folder: &'a Path, slug: String, window: Window) -> Self {
        Self {
            folder,
            slug,
            window,
            unreadable: 0,
            known: Interner::default(),
        }
    }

    /// Reads the rows of a table within the window, and before it in its first hour.
    pub(super) fn since_their_hour<R: Row>(&mut self) -> Vec<R> {
        let window = self.window;
        self.window.from = start_of(hour_of(window.from));
        let rows = self.rows();
        self.window = window;
        rows
    }

    /// Lists the hours that a table has within the window.
    pub(super) fn hours<R: Row>(&self) -> Vec<i64> {
        let all = partitions(&self.folder.join(R::TABLE), &self.slug).into_iter();
        let hours = all.map(|partition| partition.hour);
        hours
            .filter(|hour| self.window.touches(*hour, class_of::<R>()))
            .collect()
    }

    /// Reads an hour of a table in order of time.
    pub(super) fn of_hour<R: Row>(&mut self, hour: i64) -> Vec<R> {
        let table = self.folder.join(R::TABLE);
        let path = table.join(partition::place(&self.slug, hour));
        let mut read = partition::read(&path, self.window, &mut self.known);
        self.unreadable += read.unreadable;
        read.rows.sort_by_key(Row::at);
        read.rows
    }

    /// Reads a table in order of time.
    pub(super) fn rows<R: Row>(&mut self) -> Vec<R> {
        let hours = self.hours::<R>();
        let rows = hours.into_iter().flat_map(|hour| self.of_hour(hour));
        rows.collect()
    }

    /// Reads what a table of rows without time has up to the end of the window, in the order of
    /// writing: each text and name is written once, whoever mentions it later.
    pub(super) fn until_the_end<R: Row>(&mut self, is_of_use: impl Fn(&R) -> bool) -> Vec<R> {
        let end = hour_of(self.window.to);
        let mut rows = Vec::new();
        for Partition { hour, path } in partitions(&self.folder.join(R::TABLE), &self.slug) {
            if hour <= end {
                let read = partition::read(&path, self.window, &mut self.known);
                self.unreadable += read.unreadable;
                rows.extend(read.rows.into_iter().filter(&is_of_use));
            }
        }
        rows
    }

    /// Lets a session's words share their allocations with equal ones.
    pub(super) fn interned(&mut self, mut session: Session) -> Session {
        self.intern(&mut session.backend_type);
        self.intern(&mut session.application_name);
        let optional = [
            &mut session.client_addr,
            &mut session.wait_event_type,
            &mut session.wait_event,
            &mut session.tags,
        ];
        for text in optional.into_iter().flatten() {
            self.intern(text);
        }
        session
    }

    /// Lets equal strings share one allocation.
    pub(super) fn intern(&mut self, text: &mut Arc<str>) {
        self.known.share(text);
    }
}
