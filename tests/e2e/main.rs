//! filmless from the outside: real peers, real files, a real browser. One module a service.

#![expect(clippy::indexing_slicing, reason = "a test that meets another shape fails, and says where")]

mod access;
mod c_echo;
mod c_find;
mod c_get;
mod c_move;
mod c_store;
mod cluster;
mod commands;
mod commitment;
mod conformance;
mod contract;
mod corpus;
mod crash;
mod destinations;
mod dicom_rs;
mod drain;
mod exchange;
mod far;
mod forward;
mod hostile;
mod hostile_web;
mod https;
mod jobs;
mod many;
mod memory;
mod ohif;
mod orthanc;
mod outages;
mod peers;
mod pictures;
mod qido;
mod rendering;
mod rendition;
mod retrieve;
mod search;
mod steps;
mod stow;
mod stuck;
mod tls;
mod viewer;
mod wado;
mod webhook;
mod workitems;
mod zip;
