use std::sync::{Arc, Mutex};

use dicom_store::fixture::{self, ct};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::remote::fake::FakeRemotes;

/// A destination whose association breaks at one instance; what it was sent, in its order.
#[derive(Default)]
struct Place {
    poison: Mutex<Option<SopInstanceUid>>,
    refuses: Mutex<bool>,
    got: Mutex<Vec<SopInstanceUid>>,
}

impl Place {
    fn got(&self) -> Vec<SopInstanceUid> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

impl Destination for Place {
    fn name(&self) -> &str {
        "WS"
    }

    fn send<'a>(
        &'a self,
        _: &'a Session,
        instances: &'a [Instance],
        told: mpsc::Sender<(SopInstanceUid, Sent)>,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let mut is_broken = false;
            for instance in instances {
                let uid = instance.sop_instance.clone();
                let sent = if is_broken {
                    Sent::Failed("aborted".to_owned())
                } else if *self.refuses.lock().unwrap() {
                    Sent::Refused("no such class".to_owned())
                } else if self.poison.lock().unwrap().as_ref() == Some(&uid) {
                    is_broken = true;
                    Sent::Broken("aborted".to_owned())
                } else {
                    self.got.lock().unwrap().push(uid.clone());
                    Sent::Delivered
                };
                told.send((uid, sent)).await.unwrap();
            }
            Ok(())
        }
        .boxed()
    }
}

struct Scene {
    session: Session,
    work: Work,
    place: Arc<Place>,
    forward: Forward,
    study: StudyInstanceUid,
    instances: Vec<SopInstanceUid>,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// A study of so many instances.
    async fn of(instances: u32) -> Self {
        let (archive, folder) = fixture::archive().await;
        let (session, work, first) = (fixture::system(&archive), archive.work(), ct());
        for number in 1..=instances {
            fixture::store(&session, &first.next(number)).await.unwrap();
        }
        let stored = session.instances(&Resource::Study(first.study())).await.unwrap();
        let place = Arc::new(Place::default());
        let remotes = FakeRemotes { place: Some(place.clone()), ..FakeRemotes::default() };
        let destinations = Destinations::new(Arc::new(remotes), Vec::new());
        Self {
            forward: Forward::new(session.clone(), work.clone(), destinations),
            study: first.study(),
            instances: stored.into_iter().map(|instance| instance.sop_instance).collect(),
            session,
            work,
            place,
            _folder: folder,
        }
    }

    async fn run(&self, job: &NewJob) -> Result<()> {
        self.forward.run(serde_json::from_str(&job.payload).unwrap(), &HowFar::default()).await
    }

    async fn delivery(&self) -> Delivery {
        let name = Delivery::name(&self.study, &ws());
        let row = self.work.registered_as(DELIVERY, &name).await.unwrap().unwrap();
        serde_json::from_str(&row.body).unwrap()
    }
}

fn ws() -> AeTitle {
    "WS".parse().unwrap()
}

#[tokio::test]
async fn an_instance_that_breaks_the_association_holds_up_no_other() {
    let scene = Scene::of(5).await;
    let poison = scene.instances[1].clone();
    *scene.place.poison.lock().unwrap() = Some(poison.clone());
    let job = Forward::by_rule(&ws(), &scene.study, "on").unwrap();
    scene.run(&job).await.unwrap_err();
    assert_eq!(scene.place.got(), scene.instances[..1]);
    scene.run(&job).await.unwrap_err();
    assert_eq!(scene.place.got(), scene.instances[2..]);
    assert_eq!(scene.delivery().await.counts(), (4, 1, 0));

    *scene.place.poison.lock().unwrap() = None;
    scene.run(&job).await.unwrap();
    assert_eq!(scene.place.got(), [poison]);
    let done = scene.delivery().await;
    assert!(done.is_done() && done.broken.is_empty(), "{done:?}");
}
