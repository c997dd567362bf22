//! The service as a client sees it, over an archive in a folder of its own.

#[cfg(test)]
mod acts;
#[cfg(test)]
mod annotation;
#[cfg(test)]
mod api;
#[cfg(test)]
mod conditional;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod described;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod retrieve;
#[cfg(test)]
mod search;
#[cfg(test)]
mod service;
#[cfg(test)]
mod states;
#[cfg(test)]
mod store;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod text;
#[cfg(test)]
mod uri;
#[cfg(test)]
mod workitems;
