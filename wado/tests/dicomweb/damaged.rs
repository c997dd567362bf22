//! What is damaged is not given out, and does not vanish either.

use dicom::dictionary_std::tags;
use dicom_store::fixture::{Sample, ct, damage};
use http::StatusCode;
use http::header::WARNING;

use super::acts::rows;
use super::service::{AS_STORED, JSON, Service};

fn study(sample: &Sample) -> String {
    format!("/studies/{}", sample.study())
}

fn instance(sample: &Sample) -> String {
    let (series, instance) = (sample.uid(tags::SERIES_INSTANCE_UID), sample.sop_instance());
    format!("{}/series/{series}/instances/{instance}", study(sample))
}

#[tokio::test]
async fn what_is_damaged_is_named_where_it_is_missing() {
    let service = Service::open().await;
    let (whole, alone) = (ct(), ct());
    let lost = whole.next(2);
    service.store(&[whole.file(), lost.file(), alone.file()]).await;
    let path = study(&whole);
    assert!(!service.get(&path, AS_STORED).await.headers.contains_key(WARNING));
    damage(&service.archive, &lost).await;
    damage(&service.archive, &alone).await;

    for (path, accept) in [(path.clone(), AS_STORED), (format!("{path}/metadata"), JSON)] {
        let answer = service.get(&path, accept).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let warning = answer.headers[WARNING].to_str().unwrap();
        assert!(warning.starts_with("299 ") && warning.contains(lost.sop_instance().as_str()), "{warning}");
    }
    assert_eq!(service.get(&path, AS_STORED).await.parts().len(), 1);
    let found = service.get(&format!("{path}/instances"), JSON).await;
    assert!(found.json().as_array().unwrap().len() == 1 && !found.headers.contains_key(WARNING));

    for (path, uid) in [
        (instance(&lost), lost.sop_instance()),
        (format!("{}/frames/1", instance(&lost)), lost.sop_instance()),
        (format!("{}/rendered", instance(&lost)), lost.sop_instance()),
        (study(&alone), alone.sop_instance()),
    ] {
        let answer = service.get(&path, "*/*").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert!(
            answer.text().contains(uid.as_str()) && answer.text().contains("damaged"),
            "{}",
            answer.text()
        );
    }
    let uri = format!(
        "/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}",
        lost.study(),
        lost.uid(tags::SERIES_INSTANCE_UID),
        lost.sop_instance()
    );
    assert_eq!(service.get(&uri, "*/*").await.status, StatusCode::INTERNAL_SERVER_ERROR);

    service.store(&[lost.file()]).await;
    assert_eq!(service.get(&instance(&lost), AS_STORED).await.status, StatusCode::OK);
    assert!(!service.get(&path, AS_STORED).await.headers.contains_key(WARNING));
}

#[tokio::test]
async fn what_is_damaged_is_listed_page_by_page_until_it_comes_again() {
    let service = Service::open().await;
    let (first, second) = (ct(), ct());
    service.store(&[first.file(), second.file()]).await;
    assert_eq!(rows(&service, "/damaged").await.as_array().unwrap().len(), 0);
    damage(&service.archive, &first).await;
    damage(&service.archive, &second).await;
    let all = rows(&service, "/damaged").await;
    let [newest, oldest] = all.as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!(newest["instance"], second.sop_instance().as_str());
    assert_eq!(newest["study"], second.study().as_str());
    assert_eq!(newest["series"], second.uid(tags::SERIES_INSTANCE_UID));
    assert!(newest["pack"].is_string() && newest["since"].as_u64().unwrap() > 1_700_000_000_000, "{newest}");
    assert_eq!(newest["reason"], "its bytes are not those that came");
    let one = rows(&service, "/damaged?limit=1").await;
    assert_eq!(one.as_array().unwrap(), std::slice::from_ref(newest));
    let behind = rows(&service, &format!("/damaged?before={}", newest["place"])).await;
    assert_eq!(behind.as_array().unwrap(), std::slice::from_ref(oldest));
    service.store(&[second.file()]).await;
    assert_eq!(rows(&service, "/damaged").await.as_array().unwrap().len(), 1);
}
