import { useEffect, useRef } from 'react';
import { useEmotions } from './useEmotions.js';

/** Shows the camera and the emotion of each face. */
export function App() {
  const video = useRef(null);
  const { faces, error } = useEmotions(video);

  useEffect(() => {
    let stream;
    navigator.mediaDevices.getUserMedia({ video: true }).then((camera) => {
      stream = camera;
      if (video.current) video.current.srcObject = camera;
    });
    return () => stream?.getTracks().forEach((track) => track.stop());
  }, []);

  return (
    <main>
      <video ref={video} autoPlay muted playsInline />
      {error && <p role="alert">{error.message}</p>}
      <ul>
        {faces?.map(({ id, label, emotions, unsure }) => (
          <li key={id}>{unsure ? 'unsure' : `${label} ${Math.round(100 * emotions[label])} %`}</li>
        ))}
      </ul>
    </main>
  );
}
