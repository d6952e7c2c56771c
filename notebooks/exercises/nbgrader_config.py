# For a course folder of nbgrader; see README.md beside this file.
from nbgrader.preprocessors import Execute

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "dldna"

# nbgrader has no stub for Rust. `cargo nb` knows the same two.
c.ClearSolutions.code_stub = {"rust": "todo!()"}
c.ClearSolutions.text_stub = "*Your answer.*"

# A kernel may build the crate as it starts, and some cells train.
c.Execute.startup_timeout = 900
c.Execute.timeout = 300

# nbgrader looks for the name of an error in the kernel's reply. This kernel gives it in the output only.
original = Execute.on_cell_executed


def on_cell_executed(self, **kwargs):
    reply = kwargs["execute_reply"]["content"]
    if reply["status"] == "error":
        reply.setdefault("ename", "Error")
        reply.setdefault("evalue", "")
        reply.setdefault("traceback", [])
    original(self, **kwargs)


Execute.on_cell_executed = on_cell_executed
