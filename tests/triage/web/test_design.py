"""The gallery is there for whoever builds, and for nobody else."""


def test_it_is_there_in_development_alone(client, viewer, settings):
    assert client.get("/design").status_code == 404
    settings.DEBUG = True
    page = client.get("/design").content.decode()
    assert "What opens" in page
    assert "style=" not in page
