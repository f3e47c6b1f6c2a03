BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE hydra_notes (
	study INTEGER NOT NULL, 
	"key" VARCHAR(128) NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	lease FLOAT NOT NULL, 
	value TEXT, 
	PRIMARY KEY (study, "key")
);
INSERT INTO "hydra_notes" VALUES(1,'identity','elsewhere-0123456789ab-[4026531836 18848 1795827298.92',1.70942736179190778733e+09,'"f634ec9afe7a4bcab8187e2478119549"');
INSERT INTO "hydra_notes" VALUES(1,'session/44c32508913f','elsewhere-0123456789ab-[4026531836 18848 1795827298.92',1.70942736184068059916e+09,'null');
INSERT INTO "hydra_notes" VALUES(1,'study_start','elsewhere-0123456789ab-[4026531836 18848 1795827298.92',1.70942736190553832057e+09,'{}');
CREATE TABLE hydra_slots (
	study INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempt INTEGER NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	lease FLOAT NOT NULL, 
	trial INTEGER, 
	point VARCHAR(64), 
	facts TEXT, 
	status VARCHAR(200), 
	started FLOAT, 
	ended FLOAT, 
	PRIMARY KEY (study, slot)
);
INSERT INTO "hydra_slots" VALUES(1,0,'COMPLETE',0,'elsewhere-0123456789ab-[4026531836 18848 1795827298.92 44c32508913f/0',1.70942736259077715868e+09,0,'808e01355be2ccc7d14c8a7e5367649b73c27ed54444b4865088f84647c05100','{"params": {"x": 1.0, "y": 1}, "overrides": ["x=1.0", "y=1"], "directory": "/home/me/sweeps/app-5abd0acc/0", "values": [2.0], "error": "", "seconds": 0.16857665999941673, "duplicate_of": null}',NULL,1.70942730200057721144e+09,1.70942730267873096465e+09);
INSERT INTO "hydra_slots" VALUES(1,1,'FAIL',0,'elsewhere-0123456789ab-[4026531836 18848 1795827298.92 44c32508913f/0',1709427363.00961,1,'487d4403c82ebe6dffe288cf336c9abf244584e73e8426ec2ed63965a3b89f72','{"params": {"x": 1.4164433389336466, "y": 1}, "overrides": ["x=1.4164433389336466", "y=1"], "directory": "/home/me/sweeps/app-5abd0acc/1", "values": null, "error": "Traceback (most recent call last):\n  File \"/site/hydra_plugins/optuna_workers/_job.py\", line 117, in call\n    return task(config)\n           ^^^^^^^^^^^^\n  File \"/home/me/app.py\", line 18, in main\n    raise ValueError(\"no such thing\")\nValueError: no such thing\n", "seconds": 0.1845810180002445, "duplicate_of": null}',NULL,1.70942730270231580736e+09,1.70942730310604190831e+09);
INSERT INTO "hydra_slots" VALUES(1,2,'COMPLETE',0,'elsewhere-0123456789ab-[4026531836 18848 1795827298.92 44c32508913f/0',1.70942736335525536533e+09,2,'3eda73f4c3caccd59ea4f46fb84f76e77cc3da1ec153ccc1b43d1f13839b8c28','{"params": {"x": 1.2792032206397073, "y": 1}, "overrides": ["x=1.2792032206397073", "y=1"], "directory": "/home/me/sweeps/app-5abd0acc/2", "values": [2.6363608796949993], "error": "", "seconds": 0.10075995500028512, "duplicate_of": null}',NULL,1.7094273031261439323e+09,1.7094273033973610401e+09);
INSERT INTO "hydra_slots" VALUES(1,3,'RUNNING',0,'elsewhere-0123456789ab-[4026531836 18848 1795827298.92 44c32508913f/0',1.70942736340807318684e+09,3,'560d1a7a1110de7f8e489d6b6d4e7fcf98804b139c65b36313ea5c7539784e14','{"params": {"x": 3.910600781029732, "y": 0}, "overrides": ["x=3.910600781029732", "y=0"], "directory": "/home/me/sweeps/app-5abd0acc", "values": null, "error": "", "seconds": 0.0, "duplicate_of": null}',NULL,1.70942730340807366373e+09,NULL);
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'app-5abd0acc');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MINIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'hydra:fixed','[]');
INSERT INTO "study_user_attributes" VALUES(2,1,'hydra:space','{"x": {"kind": "float", "low": -5.0, "high": 5.0, "step": null, "log": false}, "y": {"kind": "choice", "choices": ["0", "1"]}}');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'x',1.0,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO "trial_params" VALUES(2,1,'y',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}');
INSERT INTO "trial_params" VALUES(3,2,'x',1.4164433389336466007e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO "trial_params" VALUES(4,2,'y',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}');
INSERT INTO "trial_params" VALUES(5,3,'x',1.27920322063970726134e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO "trial_params" VALUES(6,3,'y',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}');
INSERT INTO "trial_params" VALUES(7,4,'x',3.91060078102973207592e+00,'{"name": "FloatDistribution", "attributes": {"step": null, "low": -5.0, "high": 5.0, "log": false}}');
INSERT INTO "trial_params" VALUES(8,4,'y',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [0, 1]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"x": 1.0, "y": 1}');
INSERT INTO "trial_system_attributes" VALUES(2,2,'fixed_params','{}');
INSERT INTO "trial_system_attributes" VALUES(3,3,'fixed_params','{}');
INSERT INTO "trial_system_attributes" VALUES(4,4,'fixed_params','{}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'slot','0');
INSERT INTO "trial_user_attributes" VALUES(2,1,'attempt','0');
INSERT INTO "trial_user_attributes" VALUES(3,1,'overrides','["x=1.0", "y=1"]');
INSERT INTO "trial_user_attributes" VALUES(4,1,'directory','"/home/me/sweeps/app-5abd0acc/0"');
INSERT INTO "trial_user_attributes" VALUES(5,2,'slot','1');
INSERT INTO "trial_user_attributes" VALUES(6,2,'attempt','0');
INSERT INTO "trial_user_attributes" VALUES(7,2,'overrides','["x=1.4164433389336466", "y=1"]');
INSERT INTO "trial_user_attributes" VALUES(8,2,'directory','"/home/me/sweeps/app-5abd0acc/1"');
INSERT INTO "trial_user_attributes" VALUES(9,2,'error','"Traceback (most recent call last):\n  File \"/site/hydra_plugins/optuna_workers/_job.py\", line 117, in call\n    return task(config)\n           ^^^^^^^^^^^^\n  File \"/home/me/app.py\", line 18, in main\n    raise ValueError(\"no such thing\")\nValueError: no such thing\n"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'slot','2');
INSERT INTO "trial_user_attributes" VALUES(11,3,'attempt','0');
INSERT INTO "trial_user_attributes" VALUES(12,3,'overrides','["x=1.2792032206397073", "y=1"]');
INSERT INTO "trial_user_attributes" VALUES(13,3,'directory','"/home/me/sweeps/app-5abd0acc/2"');
INSERT INTO "trial_user_attributes" VALUES(14,4,'slot','3');
INSERT INTO "trial_user_attributes" VALUES(15,4,'attempt','0');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,2.0,'FINITE');
INSERT INTO "trial_values" VALUES(2,3,0,2.63636087969499932626e+00,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2024-03-03 00:55:02.028','2024-03-03 00:55:02.656');
INSERT INTO "trials" VALUES(2,1,1,'FAIL','2024-03-03 00:55:02.724','2024-03-03 00:55:03.091');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2024-03-03 00:55:03.147','2024-03-03 00:55:03.389');
INSERT INTO "trials" VALUES(4,3,1,'RUNNING','2024-03-03 00:55:03.435',NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE INDEX ix_hydra_slots_point ON hydra_slots (point);
COMMIT;
