use std::sync::{Arc, Mutex};

use dicom_store::fixture::{self, ct};
use dicom_store::queue::{JobQuery, Steering, Wanted};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;

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

    /// How it is, by what the queue has of it.
    async fn state(&self) -> &'static str {
        let delivery = self.delivery().await;
        let keys = delivery.job_keys().to_vec();
        let jobs = self.session.jobs(&JobQuery { keys, limit: 10, ..JobQuery::default() }).await.unwrap();
        delivery.state(&jobs)
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

#[tokio::test]
async fn what_was_refused_is_sent_once_more_when_a_person_orders_it() {
    let scene = Scene::of(2).await;
    *scene.place.refuses.lock().unwrap() = true;
    let by_rule = Forward::by_rule(&ws(), &scene.study, "on").unwrap();
    scene.run(&by_rule).await.unwrap();
    assert_eq!(scene.delivery().await.state(&[]), "refused");
    *scene.place.refuses.lock().unwrap() = false;
    scene.run(&by_rule).await.unwrap();
    assert!(scene.place.got().is_empty(), "a rule takes it for what it is");
    let order = Forward::by_order(&ws(), &scene.study, false).unwrap();
    scene.run(&order).await.unwrap();
    assert_eq!((scene.place.got(), scene.delivery().await.state(&[])), (scene.instances.clone(), "done"));
}

/// Orders are told apart by when they were given.
async fn the_next_moment() {
    let this = clock::now();
    while clock::now() <= this {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_of_it_is_sent_again_once_for_each_order_that_says_so() {
    let scene = Scene::of(2).await;
    scene.run(&Forward::by_order(&ws(), &scene.study, false).unwrap()).await.unwrap();
    assert_eq!(scene.place.got(), scene.instances);
    the_next_moment().await;
    scene.run(&Forward::by_order(&ws(), &scene.study, false).unwrap()).await.unwrap();
    assert!(scene.place.got().is_empty());
    the_next_moment().await;
    let again = Forward::by_order(&ws(), &scene.study, true).unwrap();
    scene.run(&again).await.unwrap();
    assert_eq!(scene.place.got(), scene.instances);
    scene.run(&again).await.unwrap();
    assert!(scene.place.got().is_empty(), "a job that is run twice obeys once");
}

#[tokio::test]
async fn what_is_corrected_since_is_sent_anew() {
    let scene = Scene::of(2).await;
    let order = Forward::by_order(&ws(), &scene.study, false).unwrap();
    scene.run(&order).await.unwrap();
    assert_eq!(scene.place.got(), scene.instances);
    let correct =
        json!({"kind": "correct-study", "study": scene.study, "values": {"StudyDescription": "CT"}});
    let correct: dicom_store::Order = serde_json::from_value(correct).unwrap();
    scene.session.act(&correct, "a typing error").await.unwrap();
    scene.run(&order).await.unwrap();
    assert_eq!(scene.place.got(), scene.instances);
    assert!(scene.delivery().await.is_done());
    scene.run(&order).await.unwrap();
    assert!(scene.place.got().is_empty(), "once for each correction");
}

#[tokio::test]
async fn an_order_of_a_person_stays_before_others_when_it_waits_for_its_turn() {
    let scene = Scene::of(1).await;
    let _turn = scene.forward.turns.take(&ws(), scene.study.as_str()).unwrap();
    for job in [
        Forward::by_order(&ws(), &scene.study, false).unwrap(),
        Forward::by_rule(&ws(), &scene.study, "on").unwrap(),
    ] {
        let errand: Errand = serde_json::from_str(&job.payload).unwrap();
        assert_eq!(Forward::later(errand, AGAIN).unwrap().priority, job.priority, "{}", job.payload);
    }
    let order = Forward::by_order(&ws(), &scene.study, false).unwrap();
    assert_eq!(order.priority, Priority::Awaited);
    scene.run(&order).await.unwrap();
    let steered = scene.session.jobs(&JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    assert_eq!(steered.iter().map(|job| job.priority).collect::<Vec<_>>(), [Priority::Awaited]);
}

#[test]
fn a_destination_that_takes_some_of_it_has_it_incomplete() {
    let refused = || Proof::Refused("no such class".to_owned());
    let state = |proofs: &[Proof], total| {
        let named =
            proofs.iter().enumerate().map(|(n, proof)| (format!("1.{n}").parse().unwrap(), proof.clone()));
        let instances = named.collect();
        let line =
            json!({"destination": "WS", "study": "1.2", "by": "order", "total": total, "instances": {}});
        Delivery { instances, ..serde_json::from_value(line).unwrap() }.state(&[])
    };
    assert_eq!(state(&[Proof::Delivered, refused()], 2), "incomplete");
    assert_eq!(state(&[refused()], 1), "refused");
    assert_eq!(state(&[Proof::Delivered], 1), "done");
    assert_eq!(state(&[refused()], 2), "cancelled", "no job goes on with it");
}

#[tokio::test]
async fn what_no_job_goes_on_with_is_not_told_as_under_way() {
    for job in [
        |scene: &Scene| Forward::by_rule(&ws(), &scene.study, "on").unwrap(),
        |scene: &Scene| Forward::by_order(&ws(), &scene.study, false).unwrap(),
        |scene: &Scene| Forward::by_order(&ws(), &scene.study, true).unwrap(),
    ] {
        let scene = Scene::of(2).await;
        *scene.place.poison.lock().unwrap() = Some(scene.instances[0].clone());
        let job = job(&scene);
        scene.work.enqueue(std::slice::from_ref(&job)).await.unwrap();
        scene.run(&job).await.unwrap_err();
        assert_eq!(scene.state().await, "sending");

        let wanted = Wanted { kinds: &["forward"], least: Priority::Batch, limit: 1 };
        let lease = scene.work.lease(wanted, Duration::from_secs(60)).await.unwrap().remove(0);
        assert_eq!(scene.state().await, "sending");
        scene.work.park(lease.id, "nobody answers").await.unwrap();
        assert_eq!(scene.state().await, "parked");
        scene.session.steer(lease.id, Steering::Cancel).await.unwrap();
        assert_eq!(scene.state().await, "cancelled");

        scene.work.enqueue(&[job]).await.unwrap();
        assert_eq!(scene.state().await, "sending");
    }
}
