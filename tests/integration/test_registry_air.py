import os, json, time
os.environ.update(AIRFLOW_HOME="/tmp/registry/airflow", AIRFLOW__CORE__PLUGINS_FOLDER="/work/main/plugins", AIRFLOW__CORE__DAGS_FOLDER="/tmp/registry/dags", AIRFLOW__CORE__LOAD_EXAMPLES="false",
 AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="false")
def test_air(s3_client, mlflow_url, postgres_dsn):
    from urllib.parse import urlparse, parse_qs
    s3_client.create_bucket(Bucket="ml-lake")
    os.environ["AIRFLOW_CONN_LAKE"] = json.dumps({"conn_type":"aws","login":"accesskey","password":"secretkey123","extra":{"endpoint_url": s3_client.meta.endpoint_url,"region_name":"us-east-1"}})
    u = urlparse(mlflow_url)
    os.environ["AIRFLOW_CONN_MLFLOW"] = json.dumps({"conn_type":"http","schema":"http","host":u.hostname,"port":u.port})
    p = urlparse(postgres_dsn); q = parse_qs(p.query)
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type":"postgres","login":"postgres","host":q["host"][0],"schema":p.path[1:]})
    from airflow.utils.db import initdb; initdb()
    from airflow.dag_processing.dagbag import DagBag
    bag = DagBag("/tmp/registry/dags"); assert not bag.import_errors, bag.import_errors
    dag = bag.dags["small"]
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session
    with create_session() as s:
        if not s.get(DagBundleModel, "dags-folder"): s.add(DagBundleModel(name="dags-folder"))
    from airflow.serialization.serialized_objects import SerializedDAG
    dr = dag.test(); print(dr.state); 
    for ti in dr.get_task_instances(): print(ti.task_id, ti.state)
    assert dr.state == "success"
    from fastapi.testclient import TestClient
    from airflow.api_fastapi.app import create_app
    with TestClient(create_app(), base_url="http://testserver") as c:
        for path in ("/ml/reports/small/drift/2026-03-01/", "/ml/reports/small/drift/2026-03-01"):
            r = c.get(path, follow_redirects=False); print(path, r.status_code, r.headers, r.text[:100])
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        tok = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="u", role="admin"))
        h = {"Authorization": f"Bearer {tok}"}
        for path in ("/ml/reports/small/drift/2026-03-01/", "/ml/reports/small/drift/2026-03-01", "/ml/reports/small/drift/2026-03-01/more.html","/ml/reports/small/drift/2026-03-02/","/ml/reports/small/%2e%2e/2026-03-01/","/ml/reports/small/drift/2026-03-01/nope.html"):
            t=time.time(); r = c.get(path, headers=h, follow_redirects=False); print(path, r.status_code, dict(r.headers), r.text[:100], time.time()-t)
        c.cookies.set("_token", tok)
        print(c.get("/ml/reports/small/drift/2026-03-01/").status_code)
        for t in ("staged","push","judge"):
            r = c.get(f"/api/v2/dags/small/dagRuns/{dr.run_id}/taskInstances/{t}/links", headers=h); print(t, r.status_code, r.text)
