"""HTTP: routes, authorisation, problem details. Thin: what is done is the service's."""
