use super::*;

fn member(id: &str, depends_on: &str) -> Member {
    Member {
        id: id.to_owned(),
        service: Some(id.to_owned()),
        needs: needs(depends_on),
        runs: true,
    }
}

fn order(members: Vec<Member>) -> Vec<Vec<String>> {
    let waves = waves(members).into_iter();
    let ids = |wave: Vec<Member>| wave.into_iter().map(|member| member.id).collect();
    waves.map(ids).collect()
}

#[test]
fn what_others_need_is_started_before_them() {
    let members = vec![
        member("app", "web:service_started:false,db:service_healthy:true"),
        member("web", "db"),
        member("db", ""),
        member("alone", "gone:service_started:false"),
    ];
    assert_eq!(
        order(members),
        [vec!["db", "alone"], vec!["web"], vec!["app"]]
    );
    let round = vec![member("a", "b"), member("b", "a"), member("c", "")];
    assert_eq!(order(round), [vec!["c"], vec!["a", "b"]]);
    assert!(order(Vec::new()).is_empty());
}

#[test]
fn conditions_are_read_as_compose_writes_them() {
    let read =
        needs("db:service_healthy:false,init:service_completed_successfully:true,x,,y:other");
    let conditions: Vec<_> = read.iter().map(|need| need.condition).collect();
    assert_eq!(
        conditions,
        [
            Condition::Healthy,
            Condition::Completed,
            Condition::Started,
            Condition::Started
        ]
    );
}
